import numpy as np

from polyscale.base.forecasts import log_har as har_of_bars
from polyscale.evaluation.baselines.online import base, last_value, log_har
from tests.evaluation.baselines.market import DATA, small_rows


def test_last_value_is_the_mean_of_the_squared_returns_that_were():
    rows = small_rows()
    panel, wanted = rows.panels[1], np.flatnonzero(rows.wanted[1])
    returns = np.diff(np.log(panel.bars["close"].to_numpy()), prepend=np.nan)
    for k in (0, 7, -1):
        slow = [np.log(np.mean(returns[wanted[k] - n + 1 : wanted[k] + 1] ** 2 + 1e-10)) for n in (4, 16)]
        np.testing.assert_allclose(last_value(rows)[1][k], slow, rtol=1e-9)


def test_base_and_log_har_are_those_of_the_floor_below():
    rows = small_rows()
    for i, (panel, wanted) in enumerate(zip(rows.panels, rows.wanted, strict=True)):
        np.testing.assert_array_equal(base(rows)[i], panel.base[wanted])
        har = har_of_bars(panel.bars, DATA.base, panel.targets, DATA.base_forecast)
        np.testing.assert_array_equal(log_har(rows)[i], har[wanted])
