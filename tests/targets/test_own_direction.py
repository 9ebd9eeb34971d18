"""Up or down is a label of each horizon, and not of the bar."""

import numpy as np

from polyscale.market.timeframe import Timeframe
from polyscale.targets.targets import make_targets

M15, H1, D1 = (Timeframe.parse(text) for text in ("15m", "1h", "1d"))


def test_every_horizon_has_its_own_direction(bars):
    targets = make_targets(bars, M15, [M15, H1, D1])
    known = np.isfinite(targets.up)
    np.testing.assert_array_equal(targets.up[known], targets.log_return[known] > 0)
    assert (targets.log_return[~known & np.isfinite(targets.log_return)] == 0).all()
    both = known.all(axis=1)
    assert 0.05 < (targets.up[both, 0] != targets.up[both, 2]).mean() < 0.95
