"""What a search may change: dotted keys of a config, each with a range or with choices.

    training.learning_rate: {low: 0.001, high: 0.01, log: true}
    network.encoders.0.layers: {low: 1, high: 3}
    training.schedule: {choices: [one_cycle, warm_restarts]}

In: the text of a YAML file, the config it is for. Out: a `Space`, whose every end and choice was tried on the
config by itself, so that a key that does not exist or a value that cannot be is refused before any training.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from polyscale.config.run_config import RunConfig, parse_config
from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings

Value = bool | int | float | str
Objective = Literal["val_loss", "val_qlike"]

_OTHER_DATA = (
    "name",
    "seed",
    "market",
    "split",
    "walk_forward",
    "data.base",
    "data.horizons",
    "data.base_forecast",
)
_NOT_TRAINING = ("strategy", "backtest", "evaluation", "levels")
_UNITS_OF_LOSS = ("training.quantile_weight", "training.direction_weight")


class Dimension(Settings):
    """The values of one key."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = Field(False, description="draw the logarithm evenly")
    choices: tuple[Value, ...] | None = Field(None, min_length=2)

    @model_validator(mode="after")
    def _one_kind(self) -> Dimension:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("must have either low and high, or choices")
            return self
        if self.low is None or self.high is None:
            raise ValueError("must have low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log, got {self.low}")
        return self

    @property
    def tried(self) -> tuple[Value, ...]:
        """The values that are checked beforehand."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        return (self.low, self.high)


Space = dict[str, Dimension]


def read_space(path: Path, config: RunConfig, objective: Objective) -> Space:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        Names the key, its rule, the value and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: a search space must be a readable YAML file ({error})") from error
    return parse_space(text, str(path), config, objective)


def parse_space(text: str, where: str, config: RunConfig, objective: Objective) -> Space:
    """Check the text of a search space; ``where`` names it in errors."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: a search space must be YAML: {error}") from error
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(
            f"{where}: a search space must map keys of the config to {{low, high}} or {{choices}}, "
            f"got {raw!r}"
        )
    space = {str(key): _dimension(value, f"{where}: {key}") for key, value in raw.items()}
    for key, dimension in space.items():
        _check_key(key, f"{where}: {key}", config, objective)
        _check_type(dimension, f"{where}: {key}", value_at(config, key))
        for value in dimension.tried:
            changed(config, {key: value}, where)
    return space


def changed(config: RunConfig, values: dict[str, Value], where: str) -> RunConfig:
    """The config with other values at some keys; `ConfigError` if they break its rules."""
    raw = config.model_dump(mode="json", exclude_none=True)
    for key, value in values.items():
        *path, last = key.split(".")
        place: Any = raw
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    return parse_config(yaml.safe_dump(raw, sort_keys=False), where)


def value_at(config: RunConfig, key: str) -> Any:
    """What a config says at a dotted key; `LookupError` where there is none."""
    place: Any = config.model_dump(mode="json")
    for part in key.split("."):
        place = place[int(part)] if isinstance(place, list) and part.isdigit() else place[part]
    return place


def _dimension(value: Any, where: str) -> Dimension:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: must be {{low, high}} or {{choices}}, got {value!r}")
    try:
        return Dimension.model_validate(value)
    except ValidationError as error:
        found = error.errors()[0]
        place = "".join(f".{part}" for part in found["loc"][:1])
        rule = found["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{where}{place}: {rule}, got {value}; give {{low: 1, high: 3}}, {{low: 0.001, high: 0.1, "
            "log: true}} or {choices: [a, b]}"
        ) from error


def _check_key(key: str, where: str, config: RunConfig, objective: Objective) -> None:
    """A key must exist, and trials must stay comparable."""
    try:
        value = value_at(config, key)
    except (LookupError, TypeError) as error:
        close = difflib.get_close_matches(key, sorted(_keys(config.model_dump(mode="json"))), n=3)
        remedy = f"did you mean {' or '.join(close)}?" if close else "name it as in config.yaml, with dots"
        raise ConfigError(f"{where}: unknown key of the config; {remedy}") from error
    if isinstance(value, dict | list):
        raise ConfigError(
            f"{where}: must name a single value, it names a {type(value).__name__}; go on with dots"
        )
    fixed = (*_OTHER_DATA, *_NOT_TRAINING, *(_UNITS_OF_LOSS if objective == "val_loss" else ()))
    if any(key == each or key.startswith(f"{each}.") for each in fixed):
        raise ConfigError(
            f"{where}: a search compares the {objective} of trials on the same forecasts and in the same "
            f"units, which {key} would change or never touch; change it in the config itself"
            + (" or search with --objective val_qlike" if key in _UNITS_OF_LOSS else "")
        )


def _check_type(dimension: Dimension, where: str, value: Any) -> None:
    """Only numbers have a range, and whole ones a whole range."""
    if dimension.choices is not None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ConfigError(f"{where}: a range is for numbers, the config holds {value!r}; give choices")
    if isinstance(value, int) and not all(isinstance(end, int) for end in dimension.tried):
        raise ConfigError(
            f"{where}: must have whole ends as the config holds {value}, got {list(dimension.tried)}"
        )


def _keys(raw: Any, before: str = "") -> list[str]:
    """All dotted keys of single values."""
    pairs = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else None
    if pairs is None:
        return [before.removesuffix(".")]
    return [name for key, value in pairs for name in _keys(value, f"{before}{key}.")]
