"""Gradient-boosted trees (LightGBM, Ke et al. 2017) on the features that the network reads.

In: rows. Out: forecasts at the wanted origins. One model per horizon, all symbols pooled, frozen: it learns
how far the log variance will lie from the base forecast, by squared error, is stopped by QLIKE on validation
origins, and corrected for bias. A QLIKE objective, and distances from the day's variance instead of the
base's, were tried and score no better (BTC and ETH, 2025-11).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

import numpy as np

from polyscale.evaluation.baselines.correction import log_bias
from polyscale.evaluation.baselines.rows import Floats, Rows, check_learnable, where_usable
from polyscale.evaluation.baselines.table import blocks, lessons
from polyscale.evaluation.losses import qlike
from polyscale.market.errors import ConfigError

_SURPRISE: Final = 4.0  # log units; what lies further from the base is a crash or a halt, and is cut there
_ROUNDS: Final = 800
_PATIENCE: Final = 50
_LEAF_SHARE: Final = 0.01  # of the rows must be in a leaf: neighbouring labels overlap
_SETTINGS: Final = {
    "objective": "l2",
    "metric": "none",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def boosted_trees(rows: Rows, seed: int = 1) -> list[Floats]:
    """Base forecast plus what the trees add to it.

    Raises
    ------
    ConfigError
        If LightGBM is not installed.
    """
    lightgbm = _lightgbm()
    check_learnable(rows)
    train, validate = lessons(rows, rows.train), lessons(rows, rows.validate)
    x, x_validate = np.column_stack(train.blocks), np.column_stack(validate.blocks)
    asked = [np.column_stack(blocks(p, wanted)) for p, wanted in zip(rows.panels, rows.wanted, strict=True)]
    forecasts = [panel.base[wanted] for panel, wanted in zip(rows.panels, rows.wanted, strict=True)]
    for h in range(len(rows.data.horizons)):
        y = np.clip(train.beyond_base[:, h], -_SURPRISE, _SURPRISE)
        booster = _fit(lightgbm, x, y, x_validate, validate.beyond_base[:, h], seed)
        bias = log_bias(y - booster.predict(x, num_threads=1))
        for forecast, table in zip(forecasts, asked, strict=True):
            if len(table):
                forecast[:, h] += booster.predict(table, num_threads=1) + bias
    return [
        where_usable(panel, wanted, forecast)
        for panel, wanted, forecast in zip(rows.panels, rows.wanted, forecasts, strict=True)
    ]


def _fit(
    lightgbm: ModuleType, x: Floats, y: Floats, x_validate: Floats, y_validate: Floats, seed: int
) -> Any:
    """The booster, at its best round."""
    settings = _SETTINGS | {"seed": seed, "min_data_in_leaf": max(20, int(_LEAF_SHARE * len(x)))}
    train = lightgbm.Dataset(x, label=y)
    return lightgbm.train(
        settings,
        train,
        _ROUNDS,
        valid_sets=[lightgbm.Dataset(x_validate, label=y_validate, reference=train)],
        feval=_corrected_qlike,
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )


def _corrected_qlike(said: Floats, data: Any) -> tuple[str, float, bool]:
    """QLIKE after the correction; smaller is better."""
    surprise = data.get_label() - said
    return "qlike", float(qlike(surprise, np.full_like(surprise, log_bias(surprise))).mean()), False


def _lightgbm() -> ModuleType:
    try:
        import lightgbm
    except ImportError as error:
        raise ConfigError(
            "the baseline LightGBM needs the package lightgbm, which is not installed; "
            "pip install 'polyscale[lightgbm]', or leave the baseline out"
        ) from error
    return lightgbm
