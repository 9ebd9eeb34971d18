"""A long and a short of the same value: nothing net, and twice as much at risk."""

import numpy as np
import pytest

from polyscale.backtesting.engine import Asset, run_portfolio
from tests.backtesting.market import HOUR, make_bars, make_positions, make_settings


def test_a_hedged_account_is_exposed_by_the_gross_of_both_sides():
    bars = make_bars([(100.0, 100.0, 100.0, 100.0)] * 5)
    assets = {symbol: Asset(bars) for symbol in ("A", "B")}
    positions = {
        symbol: make_positions(bars, side * np.full(5, 0.5)) for symbol, side in (("A", 1), ("B", -1))
    }
    found = run_portfolio(assets, HOUR, positions, make_settings())
    assert found.exposure == pytest.approx(1.0)
    assert found.ledger["position_value"].abs().max() == pytest.approx(0.0)
