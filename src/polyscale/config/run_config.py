"""The config of a whole run: the configs of its stages, side by side, read from YAML.

Only pipeline, live, replay and the command see it; every stage gets its own part.
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from polyscale.backtesting.settings import BacktestSettings
from polyscale.dataset.settings import DataSettings, SplitSettings, WalkForwardSettings
from polyscale.evaluation.settings import EvaluationSettings
from polyscale.market.bars import Market
from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings
from polyscale.market.simulate import SimulationSettings
from polyscale.market.timeframe import DAY_MS
from polyscale.model.settings import NetworkSettings
from polyscale.strategy.managed import ManagedSettings
from polyscale.strategy.portfolio import PortfolioSettings
from polyscale.strategy.settings import StrategySettings
from polyscale.training.settings import TrainingSettings


class Funding(StrEnum):
    """Which funding rates the backtest charges."""

    STORED = "stored"  # the store's, where it holds any of the symbol; else the assumed rate
    ASSUMED = "assumed"  # backtest.assumed_funding_8h, against either side


class VenueSettings(Settings):
    """Symbols of one venue."""

    venue: str = Field(description="name under which the store keeps them: bybit, binance ...")
    category: str = Field(description="kind of market: spot, linear or inverse")
    symbols: tuple[str, ...] = Field(min_length=1, description="names of markets, such as BTCUSDT")

    def markets(self) -> list[Market]:
        """One market per symbol."""
        return [Market(self.venue, self.category, symbol) for symbol in self.symbols]


class MarketSettings(Settings):
    """Whose bars: of the store, or simulated."""

    source: Literal["store", "simulated"] = Field(
        "store", description="bars of the store, or of a market that is made up from a seed"
    )
    venue: str = Field("bybit", description="name under which the store keeps the bars")
    category: str = Field("linear", description="kind of market: spot, linear or inverse")
    symbols: tuple[str, ...] = Field(
        ("BTCUSDT",), min_length=1, description="markets that are learned from, forecast and traded"
    )
    funding: Funding = Field(
        Funding.STORED,
        description="stored: the store's rates, where it holds any of the symbol, else the assumed rate; "
        "assumed: always backtest.assumed_funding_8h",
    )
    learn_from: tuple[VenueSettings, ...] = Field(
        (), description="other markets whose bars train as well; they are neither forecast nor traded"
    )
    simulation: SimulationSettings | None = Field(None, description="only with source: simulated")

    @model_validator(mode="after")
    def _simulation_belongs_to_source(self) -> MarketSettings:
        """Whose bars they are is said once.

        - `simulation` is given with `source: simulated`, and only then
        - no symbol stands twice, and no market is in `learn_from` as well
        - `learn_from` needs `source: store`
        """
        if (self.source == "simulated") != (self.simulation is not None):
            raise ValueError("simulation must be given with source: simulated, and only then")
        twice = sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1})
        if twice:
            raise ValueError(f"symbols must not repeat, got {twice} more than once")
        if self.learn_from and self.source == "simulated":
            raise ValueError("learn_from needs source: store; give a simulated market more symbols instead")
        every = [*self.markets(), *self.lessons()]
        again = sorted({str(market) for market in every if every.count(market) > 1})
        if again:
            raise ValueError(f"learn_from must not repeat a market, got {again} more than once")
        return self

    def markets(self) -> list[Market]:
        """One market per symbol."""
        return [Market(self.venue, self.category, symbol) for symbol in self.symbols]

    def lessons(self) -> list[Market]:
        """Markets that are learned from and no more."""
        return [market for venue in self.learn_from for market in venue.markets()]


class RunConfig(Settings):
    """Everything that a run depends on, but for the bars."""

    name: str = Field(
        "run", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="the run folder begins with it"
    )
    market: MarketSettings = Field(MarketSettings(), description="whose bars")
    data: DataSettings = Field(description="scales, horizons, features and the base forecast")
    split: SplitSettings = Field(description="where training ends and the test begins")
    walk_forward: WalkForwardSettings | None = Field(None, description="the folds of `polyscale evaluate`")
    network: NetworkSettings = Field(description="sizes of the network")
    training: TrainingSettings = Field(TrainingSettings(), description="how it is trained")
    levels: tuple[float, ...] = Field(
        (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975), description="quantiles that are forecast"
    )
    strategy: StrategySettings = Field(
        StrategySettings(), description="when to trade a forecast, and how much"
    )
    portfolio: PortfolioSettings | None = Field(
        None, description="one account over all symbols; absent: each symbol has its own"
    )
    managed: ManagedSettings = Field(
        ManagedSettings(), description="volatility-managed holding, which the strategies are held against"
    )
    backtest: BacktestSettings = Field(description="what trading costs, and what the venue allows")
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="which origins are judged, and how sure a claim must be"
    )
    seed: int = Field(1, ge=0, description="of the weights, the batches and what training drops or shifts")

    @model_validator(mode="after")
    def _stages_fit(self) -> RunConfig:
        """Stages agree with one another.

        - `network.encoders` has one entry per scale, in the order of `data.scales`
        - horizons of `strategy` (`horizon`, `agree`) and of every sleeve are among `data.horizons`
        - `every` of `strategy`, of a sleeve, of `portfolio`, `managed` and `evaluation` is a whole multiple
          of the base timeframe
        - `market.simulation.timeframe` is the base timeframe
        - `walk_forward.leave_out` names symbols of `market.symbols`
        - `walk_forward.validate_days` and `window_days` are more than the longest horizon
        - with `network.across_symbols` there is neither `market.learn_from` nor `walk_forward.leave_out`
        - `levels` lie between 0 and 1, rise, differ, and hold 0.5
        """
        scales, encoders = len(self.data.scales), len(self.network.encoders)
        if scales != encoders:
            raise ValueError(f"network.encoders must be one per scale ({scales}), got {encoders}")
        self._check_strategies()
        simulation = self.market.simulation
        if simulation is not None and simulation.timeframe != self.data.base:
            raise ValueError(
                f"market.simulation.timeframe must be the base timeframe {self.data.base}, "
                f"got {simulation.timeframe}"
            )
        if not self.data.base.divides(self.evaluation.every):
            raise ValueError(
                f"evaluation.every must be a whole multiple of the base timeframe {self.data.base}, "
                f"got {self.evaluation.every}"
            )
        left_out = self.walk_forward.leave_out if self.walk_forward else ()
        strangers = [symbol for symbol in left_out if symbol not in self.market.symbols]
        if strangers:
            raise ValueError(
                f"walk_forward.leave_out must be of market.symbols {list(self.market.symbols)}, "
                f"got {strangers}"
            )
        self._check_days()
        if self.network.across_symbols and (self.market.learn_from or left_out):
            raise ValueError(
                "network.across_symbols reads all symbols of the run at once: it takes neither "
                "market.learn_from nor walk_forward.leave_out"
            )
        if list(self.levels) != sorted(set(self.levels)) or 0.5 not in self.levels:
            raise ValueError(f"levels must rise, differ and hold 0.5, got {self.levels}")
        if not all(0 < level < 1 for level in self.levels):
            raise ValueError(f"levels must lie between 0 and 1, got {self.levels}")
        return self

    def _check_strategies(self) -> None:
        """Horizons that are traded must be forecast, and grids of decisions lie on that of the bars."""
        sleeves = self.portfolio.sleeves if self.portfolio else ()
        named = {"strategy": self.strategy} | {
            f"portfolio.sleeves[{i}].strategy": sleeve.strategy for i, sleeve in enumerate(sleeves)
        }
        known = [str(h) for h in self.data.horizons]
        for name, each in named.items():
            traded = {f"{name}.horizon": each.horizon} | {f"{name}.agree": h for h in each.agree}
            for field, horizon in traded.items():
                if horizon is not None and horizon not in self.data.horizons:
                    raise ValueError(f"{field} must be one of data.horizons {known}, got {horizon}")
        grids = {f"{name}.every": each.every for name, each in named.items()}
        grids |= {"managed.every": self.managed.every}
        grids |= {"portfolio.every": self.portfolio.every} if self.portfolio else {}
        for field, every in grids.items():
            if every is not None and not self.data.base.divides(every):
                raise ValueError(
                    f"{field} must be a whole multiple of the base timeframe {self.data.base}, got {every}"
                )

    def _check_days(self) -> None:
        """An origin belongs to a part of a fold only if its longest label ends inside the part."""
        if self.walk_forward is None:
            return
        longest = self.data.horizons[-1]
        for name in ("validate_days", "window_days"):
            days = getattr(self.walk_forward, name)
            if days is not None and days * DAY_MS <= longest.ms:
                raise ValueError(
                    f"walk_forward.{name} must be more than the longest of data.horizons ({longest}), got "
                    f"{days}; give at least {longest.ms // DAY_MS + 1}"
                )

    def with_walk(self, leave_out: tuple[str, ...] = (), seeds: int | None = None) -> RunConfig:
        """The same with other choices for its walk-forward; checked again."""
        if self.walk_forward is None:
            return self
        changes: dict[str, Any] = {"leave_out": list(leave_out)} if leave_out else {}
        changes |= {} if seeds is None else {"seeds": seeds}
        raw = self.model_dump(mode="json", exclude_none=True)
        raw["walk_forward"] |= changes
        return parse_config(yaml.safe_dump(raw), "walk_forward")

    def to_yaml(self) -> str:
        """The whole config with its defaults written out; `parse_config` reads it back."""
        return yaml.safe_dump(
            self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True
        )


def read_config(path: Path) -> RunConfig:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        If it cannot be read, or for every setting that breaks its rule, with its place and value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(
            f"{path}: config must be a readable YAML file, got: {why}; configs/ has examples"
        ) from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> RunConfig:
    """Check the text of a config; ``where`` names it in errors."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: config must be YAML: {_in_one_line(error)}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: config must be a mapping of keys to values, got {type(raw).__name__}")
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        lines = [_sentence(found, raw) for found in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error


def _in_one_line(error: yaml.YAMLError) -> str:
    """What a parser found, and where."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}; mend that line"  # type: ignore[attr-defined]


def _sentence(found: ErrorDetails, raw: dict[str, Any]) -> str:
    """One rule that was broken: place, rule, value, remedy."""
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in found["loc"]).lstrip(".") or "config"
    if found["type"] == "extra_forbidden":
        known = _known_keys(found["loc"][:-1])
        close = difflib.get_close_matches(str(found["loc"][-1]), known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return f"{place}: unknown key; {remedy}"
    if found["type"] == "missing":
        return f"{place}: must be given"
    rule = found["msg"].removeprefix("Value error, ").replace("Input should", "must")
    value = found["input"]
    return f"{place}: {rule}" if isinstance(value, dict | Settings) else f"{place}: {rule}, got {value!r}"


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    """Keys that are allowed at a place of the config."""
    model: Any = RunConfig
    for part in place:
        if isinstance(part, int):
            continue
        model = _model_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _model_of(annotation: Any) -> Any:
    """The settings inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next(_model_of(inner) for inner in annotation.__args__ if inner not in (type(None), Ellipsis))
