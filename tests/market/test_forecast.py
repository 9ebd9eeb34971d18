from dataclasses import replace

import numpy as np
import pytest

from polyscale.market.errors import DataError
from polyscale.market.forecast import Forecast
from polyscale.market.timeframe import Timeframe


def make(num=5, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(2), num)
    return Forecast(
        close_time=np.arange(num).astype("datetime64[h]").astype("datetime64[ms]"),
        horizons=(Timeframe(60), Timeframe(240)),
        levels=(0.025, 0.5, 0.975),
        scales=("5m", "1h"),
        quantiles=np.sort(rng.normal(size=(num, 2, 3)), axis=-1),
        prob_up=rng.random((num, 2)),
        volatility=rng.random((num, 2)),
        expected_return=rng.normal(size=(num, 2)),
        base_volatility=rng.random((num, 2)),
        scale_weights=weights,
        cross_attention=np.stack([weights, weights], axis=1),
    )


def test_parquet_gives_every_number_back(tmp_path):
    forecast = make()
    forecast.write_parquet(tmp_path / "f.parquet")
    again = Forecast.read_parquet(tmp_path / "f.parquet")
    for name, value in vars(forecast).items():
        assert np.array_equal(getattr(again, name), value), name


def test_a_forecast_cannot_be_changed():
    forecast = make()
    with pytest.raises(ValueError, match="read-only"):
        forecast.volatility[0, 0] = 1.0


def test_non_finite_numbers_and_wrong_shapes_never_become_a_forecast():
    with pytest.raises(DataError, match=r"volatility must be finite, got 10"):
        replace(make(), volatility=np.full((5, 2), np.nan))
    with pytest.raises(DataError, match=r"prob_up must have shape \(5, 2\), got \(5, 1\)"):
        replace(make(), prob_up=np.zeros((5, 1)))


def test_a_parquet_of_something_else_is_refused(tmp_path):
    make().to_frame().write_parquet(tmp_path / "plain.parquet")
    with pytest.raises(DataError, match="no forecast of polyscale"):
        Forecast.read_parquet(tmp_path / "plain.parquet")


def test_at_keeps_the_chosen_origins():
    forecast = make()
    assert np.array_equal(forecast.at(np.array([4])).quantiles[0], forecast.quantiles[4])
