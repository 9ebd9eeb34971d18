"""Returns of trades and of lines, by hand."""

import numpy as np
import pytest

from polyscale.evaluation.trading.compare import trade_returns
from polyscale.market.position import Positions
from tests.backtesting.market import HOUR, make_bars, make_settings
from tests.evaluation.trading.market import open_market, times_of

FALL = [(100, 100, 100, 100), (100, 101, 90, 95), (95, 96, 94, 95), (95, 95, 95, 95)]


def traded(rows, targets, limit=None, **account):
    bars, settings = make_bars(rows), make_settings(**account)
    given = None if limit is None else np.array(limit, dtype=float)
    positions = Positions(times_of(bars), np.array(targets, dtype=float), limit=given)
    return open_market(settings, HOUR, A=bars).run({"A": positions}, settings)


def test_a_trade_that_enters_inside_a_bar_is_a_share_of_what_there_was_before():
    found = traded(FALL, [1, 1, 0, 0], [98, 98, np.nan, np.nan])
    assert trade_returns(found).tolist() == pytest.approx([-0.03])  # a hundred coins, at 98 and at 95


def test_a_trade_that_is_liquidated_in_the_bar_it_enters_loses_what_there_was():
    rows = [FALL[0], (100, 101, 80, 80), *FALL[2:]]
    found = traded(rows, [20, 20, 0, 0], [98, 98, np.nan, np.nan], max_leverage=20, maintenance_margin=0.001)
    assert found.liquidated
    assert trade_returns(found).tolist() == pytest.approx([found.total_return])
    assert found.total_return > -1


def test_trades_multiply_to_the_total_return_and_open_ones_are_left_out():
    rows = [(p, p, p, p) for p in (100, 110, 99, 120, 100, 90)]
    found = traded(rows, [1, 0, -1, 0, 0.5, 0.5], fee_bps=10)
    returns = trade_returns(found)
    assert len(returns) == 2 < found.n_trades
    assert np.prod(1 + returns) == pytest.approx(found.equity[4] / found.initial_capital, rel=1e-12)
