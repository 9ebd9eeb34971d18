"""Features of the context: funding and its age, the other symbols' market and what is left beside it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from polyscale.features.context import FUNDING_MEANS
from polyscale.features.feature import Feature, Formula
from polyscale.features.inputs import USUAL_BARS, Inputs, log_volatility
from polyscale.features.realised import VARIANCE_FLOOR
from polyscale.features.windows import change, trailing_mean

Floats = NDArray[np.float64]
_BASIS_POINT: Final = 1e-4
_BETA_BARS: Final = 200


def _in_basis_points(column: str) -> Formula:
    return lambda x: x.column(column) / _BASIS_POINT


def _funding_age(x: Inputs) -> Floats:
    return x.column("funding_age")


def _funding_surprise(x: Inputs) -> Floats:
    return (x.column("funding_rate") - x.column("funding_mean_21")) / _BASIS_POINT


def _market_return(x: Inputs) -> Floats:
    return x.shared("market_return", lambda: change(x.column("market_level"), 1))


def _market_squares(x: Inputs) -> Floats:
    return x.shared("market_squares", lambda: _market_return(x) ** 2)


def _market_log_volatility(x: Inputs) -> Floats:
    return x.shared("market_volatility", lambda: log_volatility(_market_squares(x), USUAL_BARS))


def _scaled_market_return(bars: int) -> Formula:
    return lambda x: (
        change(x.column("market_level"), bars) / (np.exp(_market_log_volatility(x)) * np.sqrt(bars))
    )


def _market_relative_volatility(x: Inputs) -> Floats:
    return log_volatility(_market_squares(x), 5) - _market_log_volatility(x)


def _beta(x: Inputs) -> Floats:
    return x.shared("beta", lambda: _slope(x))


def _slope(x: Inputs) -> Floats:
    """Slope of the return on the market's through the origin; 0 in a market that stands still."""
    product = x.log_return * _market_return(x)
    return trailing_mean(product, _BETA_BARS) / (
        trailing_mean(_market_squares(x), _BETA_BARS) + VARIANCE_FLOOR
    )


def _residual(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        own, market = change(x.log_close, bars), change(x.column("market_level"), bars)
        return (own - _beta(x) * market) / (x.usual_volatility * np.sqrt(bars))

    return formula


def _relative_strength(bars: int) -> Formula:
    def formula(x: Inputs) -> Floats:
        ahead = change(x.log_close, bars) - change(x.column("market_level"), bars)
        return ahead / (x.usual_volatility * np.sqrt(bars))

    return formula


FUNDING: Final = (
    Feature(
        "funding_rate",
        _in_basis_points("funding_rate"),
        1,
        "last settled funding rate; null before the first",
        "basis points",
    ),
    *(
        Feature(
            f"funding_mean_{n}",
            _in_basis_points(f"funding_mean_{n}"),
            1,
            f"mean of the last {n} settled rates",
            "basis points",
        )
        for n in FUNDING_MEANS
    ),
    Feature(
        "funding_surprise",
        _funding_surprise,
        1,
        "last settled rate less the mean of the last 21",
        "basis points",
    ),
    Feature("funding_age", _funding_age, 1, "time since the last settlement", "8 hours"),
)

MARKET: Final = (
    *(
        Feature(
            f"market_return_{n}",
            _scaled_market_return(n),
            max(USUAL_BARS, n) + 1,
            f"mean log return of the other symbols over {n} bars, in units of its volatility over them",
            "volatility",
        )
        for n in (1, 5, 20)
    ),
    Feature(
        "market_relative_volatility",
        _market_relative_volatility,
        USUAL_BARS + 1,
        f"log realised volatility of the market's 5 bars less that of its {USUAL_BARS}",
        "log",
    ),
    Feature(
        "beta",
        _beta,
        _BETA_BARS + 1,
        f"slope of the return on the market's over {_BETA_BARS} bars through the origin; 0 in a still market",
    ),
    *(
        Feature(
            f"beta_residual_{n}",
            _residual(n),
            _BETA_BARS + 1,
            f"log return of {n} bars less beta times the market's, in units of volatility over them",
            "volatility",
        )
        for n in (1, 5, 20)
    ),
    *(
        Feature(
            f"relative_strength_{n}",
            _relative_strength(n),
            max(USUAL_BARS, n) + 1,
            f"log return of {n} bars less the market's, in units of volatility over them",
            "volatility",
        )
        for n in (20, 50)
    ),
)
