"""Parts of a backtest against the same parts made with polars."""

import numpy as np
import polars as pl
import pytest

from polyscale.backtesting.engine import buy_and_hold, run_backtest
from polyscale.evaluation.bootstrap import Bootstrap, mean_interval
from polyscale.evaluation.trading.periods import by_hour, by_month, by_part, by_regime, by_weekday
from polyscale.market.errors import DataError
from polyscale.market.timeframe import Timeframe
from tests.evaluation.trading.market import coin_flips, costs, positions_over, walk

QUARTER = Timeframe(15)
SETUP = Bootstrap(96, num_draws=400)
BARS = walk(70, QUARTER, kind="realistic")
ACCOUNT = costs(max_leverage=2.0)
TARGETS = coin_flips(BARS.height, np.random.default_rng(2), 30)
RESULT = run_backtest(BARS, QUARTER, positions_over(BARS, TARGETS), ACCOUNT, None)
HELD = buy_and_hold(BARS, QUARTER, ACCOUNT, None)


def expected(form):
    """Bars and trades grouped by a format of the time at which they opened."""
    opened = (pl.col("close_time") - pl.duration(minutes=15)).dt.strftime(form).alias("name")
    rows = RESULT.ledger.with_columns(
        opened,
        r=pl.col("equity").pct_change(),
        other=HELD.ledger["equity"].pct_change(),
        inside=pl.col("gross") != 0,
    )[1:]
    entries = RESULT.trades.group_by(pl.col("entry_time").dt.strftime(form).alias("name")).len("entries")
    return (
        rows.group_by("name")
        .agg(
            pl.len(),
            total=(1 + pl.col("r")).product() - 1,
            a_day=96 * pl.col("r").mean(),
            other=96 * pl.col("other").mean(),
            inside=pl.col("inside").mean(),
        )
        .join(entries, on="name", how="left")
        .sort("name")
        .fill_null(0)
    )


@pytest.mark.parametrize(("part", "form"), [(by_month, "%Y-%m"), (by_hour, "%H"), (by_weekday, "%u")])
def test_parts_are_those_of_polars(part, form):
    found, wanted = part(RESULT, HELD, SETUP), expected(form)
    if part is not by_weekday:
        assert [each.name for each in found] == wanted["name"].to_list()
    assert [each.num_bars for each in found] == wanted["len"].to_list()
    assert [each.num_entries for each in found] == wanted["entries"].to_list()
    assert sum(each.num_entries for each in found) == RESULT.n_trades
    for mine, theirs in [
        ("total_return", "total"),
        ("return_a_day", "a_day"),
        ("benchmark_a_day", "other"),
        ("in_market", "inside"),
    ]:
        np.testing.assert_allclose(
            [getattr(each, mine) for each in found], wanted[theirs], rtol=1e-9, atol=1e-12
        )
    for each in found:
        assert each.excess_a_day.mean == pytest.approx(each.return_a_day - each.benchmark_a_day, abs=1e-15)


def test_the_week_begins_on_monday():
    names = [each.name for each in by_weekday(RESULT, HELD, SETUP)]
    assert (names[0], names[5:]) == ("Monday", ["Saturday", "Sunday"])
    first_day = RESULT.grid.close_time[0]
    assert first_day.strftime("%A") == "Wednesday"


def test_parts_compound_to_the_whole():
    for parts in (by_month(RESULT, None, SETUP), by_hour(RESULT, None, SETUP)):
        whole = np.prod([1 + each.total_return for each in parts]) - 1
        assert whole == pytest.approx(RESULT.total_return, rel=1e-9)


def test_the_interval_of_the_only_part_is_that_of_all_days():
    (part,) = by_part(RESULT, None, np.full(BARS.height - 1, "all"), SETUP)
    equity = RESULT.equity
    wanted = mean_interval(np.diff(equity) / equity[:-1], SETUP)
    assert (part.excess_a_day.mean, part.excess_a_day.low, part.excess_a_day.high) == pytest.approx(
        (96 * wanted.mean, 96 * wanted.low, 96 * wanted.high)
    )
    assert part.benchmark_a_day == 0.0


def test_hours_in_which_it_knows_the_next_bar_are_clear_of_zero():
    hour = (BARS["close_time"]).dt.hour().to_numpy()
    foreseen = np.append(np.sign(np.log(BARS["close"] / BARS["open"]).to_numpy())[1:], 0.0)
    free = costs(fee_bps=0.0, slippage_bps=0.0, assumed_funding_8h=0.0)
    night = positions_over(BARS, np.where(hour < 3, foreseen, 0.0))
    parts = by_hour(run_backtest(BARS, QUARTER, night, free, None), None, SETUP)
    assert [each.excess_a_day.above(0.0) for each in parts] == [True] * 3 + [False] * 21
    assert [each.in_market > 0.9 for each in parts] == [True] * 3 + [False] * 21


def test_regimes_are_terciles_of_the_volatility_of_the_close_before():
    volatility = np.random.default_rng(0).permutation(BARS.height).astype(float)
    found = by_regime(RESULT, HELD, volatility, SETUP)
    rows = np.searchsorted(np.quantile(volatility[:-1], [1 / 3, 2 / 3]), volatility[:-1])
    equity = RESULT.equity
    r = np.diff(equity) / equity[:-1]
    assert [each.name for each in found] == ["calm", "middle", "wild"]
    np.testing.assert_allclose(
        [each.return_a_day for each in found], [96 * r[rows == i].mean() for i in range(3)], rtol=1e-9
    )
    poisoned = np.append(volatility[:-1], 1e9)
    assert by_regime(RESULT, HELD, poisoned, SETUP) == found


def test_a_month_of_too_few_blocks_has_no_interval_but_a_reason():
    last = by_month(RESULT, HELD, Bootstrap(480, num_draws=50))[-1]
    assert last.excess_a_day.low is None
    assert "fewer than 4 blocks" in last.excess_a_day.reason


def test_other_bars_are_refused():
    other = buy_and_hold(BARS[1:], QUARTER, ACCOUNT, None)
    with pytest.raises(DataError, match="6719 closes that are not its 6720"):
        by_month(RESULT, other, SETUP)
    with pytest.raises(DataError, match="one value per bar"):
        by_regime(RESULT, HELD, np.ones(3), SETUP)
    with pytest.raises(DataError, match="volatility must be finite"):
        by_regime(RESULT, HELD, np.full(BARS.height, np.nan), SETUP)
