"""What the network looks at, and which origins it may learn from."""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches
from enum import StrEnum

from pydantic import Field, model_validator

from polyscale.base.settings import BaseSettings
from polyscale.features.catalogue import CATALOGUE
from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe
from polyscale.scales.settings import ScaleSettings, Source

DEFAULT_FEATURES = (
    "scaled_return_1",
    "scaled_return_5",
    "scaled_return_10",
    "scaled_return_20",
    "scaled_return_50",
    "relative_move",
    "relative_volatility_5",
    "relative_volatility_20",
    "relative_range",
    "relative_range_5",
    "relative_range_20",
    "volume_change",
    "log_volume_ratio",
    "close_position",
    "rsi_simple",
)
"""Free of the symbol's own price, volume and volatility, so that symbols and regimes share one network."""


class DataSettings(Settings):
    """Scales, horizons, features and the base forecast."""

    scales: tuple[ScaleSettings, ...] = Field(min_length=1, description="finest first; the first is the base")
    horizons: tuple[Timeframe, ...] = Field(min_length=1, description="whole multiples of the base timeframe")
    features: tuple[str, ...] = Field(
        DEFAULT_FEATURES, description="names of the catalogue, for every scale without features of its own"
    )
    base_forecast: BaseSettings = Field(BaseSettings(), description="the forecast that the network corrects")
    max_fill: int = Field(
        3, ge=0, description="missing base bars filled after the last bar seen; longer is masked"
    )

    @property
    def base(self) -> Timeframe:
        """The finest timeframe: a forecast is made at each of its closes."""
        return self.scales[0].timeframe

    @model_validator(mode="after")
    def _fits_together(self) -> DataSettings:
        """Scales, horizons and features fit together.

        - `scales` go from fine to coarse, none stands twice, and the first has `source: resample`
        - `horizons` rise, and none stands twice
        - timeframes and horizons are whole multiples of the base timeframe, which is the first scale's
        - `features`, here and of a scale, are names of the catalogue, at least one, each once
        """
        frames, names = [scale.timeframe for scale in self.scales], [scale.name for scale in self.scales]
        if frames != sorted(frames) or len(set(names)) < len(names):
            raise ValueError(f"scales must go from fine to coarse without repeats, got {names}")
        if self.scales[0].source is not Source.RESAMPLE:
            raise ValueError(
                f"scales[0].source must be resample: it is the base, got {self.scales[0].source.value}"
            )
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError(f"horizons must rise without repeats, got {[str(h) for h in self.horizons]}")
        for name, values in (("scales", frames), ("horizons", self.horizons)):
            for value in values:
                if not self.base.divides(value):
                    raise ValueError(
                        f"{name} must be whole multiples of the base timeframe {self.base}, got {value}"
                    )
        for place, chosen in [
            ("features", self.features),
            *(
                (f"scales[{i}].features", s.features)
                for i, s in enumerate(self.scales)
                if s.features is not None
            ),
        ]:
            unknown = [name for name in chosen if name not in CATALOGUE]
            if unknown:
                near = get_close_matches(unknown[0], CATALOGUE, n=3) or ["see `polyscale features`"]
                raise ValueError(
                    f"{place} must be out of the catalogue, got {unknown}; near: {', '.join(near)}"
                )
            if not chosen or len(set(chosen)) < len(chosen):
                raise ValueError(f"{place} must be names, each once, got {list(chosen)}")
        return self


class SplitSettings(Settings):
    """Where training ends and testing begins: dates (whole days in UTC, inclusive) or shares of origins."""

    train_until: date | None = Field(None, description="last day of training")
    validate_until: date | None = Field(None, description="last day of validation; the test follows")
    test_until: date | None = Field(None, description="last day of the test; absent: to the end of the bars")
    train_share: float | None = Field(
        None, gt=0, lt=1, description="instead of dates: share of origins, the oldest, that is trained on"
    )
    validate_share: float | None = Field(
        None, gt=0, lt=1, description="share of origins after them that validates; the rest is the test"
    )

    @model_validator(mode="after")
    def _dates_or_shares(self) -> SplitSettings:
        """Dates or shares.

        - give `train_until` and `validate_until`, or `train_share` and `validate_share`; not both
        - dates rise
        - the shares sum to less than 1
        """
        if self.train_until is not None and self.validate_until is not None:
            if self.train_share is not None or self.validate_share is not None:
                raise ValueError("give dates (train_until, validate_until) or shares, not both")
            last = self.test_until or date.max
            if not self.train_until < self.validate_until < last:
                raise ValueError(
                    f"dates must rise: train_until {self.train_until}, validate_until {self.validate_until}, "
                    f"test_until {self.test_until}"
                )
        elif self.train_share is None or self.validate_share is None:
            raise ValueError("give train_until and validate_until, or train_share and validate_share")
        elif self.train_share + self.validate_share >= 1:
            raise ValueError(
                "train_share + validate_share must be < 1 to leave a test, "
                f"got {self.train_share + self.validate_share}"
            )
        return self


class Refit(StrEnum):
    """How long one fit is used, counted from the first day that is tested."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    NEVER = "never"


class WalkForwardSettings(Settings):
    """Folds of a walk-forward, and who learns from whom; days in UTC, inclusive."""

    first: date = Field(description="first day that is tested")
    last: date = Field(description="last day that is tested")
    refit: Refit = Field(
        Refit.MONTH,
        description="one fit is used for seven days, to the end of its month or quarter, or for all tests",
    )
    validate_days: int = Field(30, ge=1, description="before each test, to choose the epoch and to calibrate")
    window_days: int | None = Field(None, ge=1, description="of training; absent: all that there is")
    seeds: int = Field(3, ge=1, description="networks whose forecasts are averaged")
    pooled: bool = Field(True, description="one network learns from all symbols; false: one for each")
    leave_out: tuple[str, ...] = Field(
        (), description="test these alone, each by a network that never saw it on any venue"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> WalkForwardSettings:
        """Days and symbols fit together.

        - `last` is not before `first`
        - `leave_out` needs `pooled`, and repeats no symbol
        """
        if self.last < self.first:
            raise ValueError(f"last must not be before first ({self.first}), got {self.last}")
        if self.leave_out and not self.pooled:
            raise ValueError("leave_out needs pooled: a network that is fitted on one symbol has no others")
        twice = sorted({symbol for symbol in self.leave_out if self.leave_out.count(symbol) > 1})
        if twice:
            raise ValueError(f"leave_out must not repeat a symbol, got {twice} more than once")
        return self
