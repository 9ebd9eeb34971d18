"""Every number of the money sections again, out of the ledger, the fills, trades and holdings alone."""

import math

import numpy as np
import polars as pl
import pytest

from polyscale.report.money import costs_section, equity_section, trades_section
from polyscale.report.risk import risk_section
from polyscale.report.wording import number, percent, price
from tests.report.sample import BASE, RULES, report_input

YEAR = 365 * 24 * 60 // BASE.minutes  # bars


class Frames:
    """What a run's folder keeps of an account."""

    def __init__(self, result):
        self.ledger, self.fills = result.ledger, result.fills
        self.trades, self.holdings = result.trades, result.holdings
        self.equity = self.ledger["equity"].to_numpy()
        self.start = self.equity[0]
        self.returns = self.equity[1:] / self.equity[:-1] - 1

    def daily(self):
        days = self.ledger.group_by(
            (pl.col("close_time") - pl.duration(milliseconds=1)).dt.truncate("1d"), maintain_order=True
        ).agg(pl.col("equity").last())
        return np.append(self.start, days["equity"].to_numpy())


@pytest.fixture(scope="module", params=["one symbol", "portfolio", "no trade"])
def accounts(request):
    if request.param == "portfolio":
        found = report_input(symbols=("AAA", "BBB"), days=40, portfolio=True).portfolio
        return found.result, found.hold
    trading = request.param == "one symbol"
    item = report_input(days=40, trading=trading, rules=RULES if trading else None).symbols[0]
    return item.strategy, item.hold


@pytest.fixture(scope="module")
def frames(accounts):
    return [Frames(each) for each in accounts]


def column(section, place, number_of_table=0):
    return {row[0]: row[place] for row in section.tables[number_of_table].rows}


def test_measures_are_those_of_the_ledger_and_the_trades(accounts, frames):
    for place, of in enumerate(frames, start=1):
        told = column(trades_section(*accounts), place)
        r, mean = of.returns, of.returns.mean()
        deviation, downside = r.std(ddof=1), math.sqrt(np.square(np.minimum(r, 0)).mean())
        drawdown = (1 - of.equity / np.maximum.accumulate(of.equity)).max()
        a_year = (of.equity[-1] / of.start) ** (YEAR / len(r)) - 1
        net = of.trades.filter(pl.col("exit_time").is_not_null())["net_pnl"].to_numpy()
        lost = -net[net < 0].sum()
        gross = of.ledger["gross"].to_numpy()
        assert told == {
            "Total return": percent(of.equity[-1] / of.start - 1, 2, signed=True),
            "Sharpe ratio (a year)": number(
                mean / deviation * math.sqrt(YEAR) if deviation > 1e-14 else None
            ),
            "Sortino ratio (a year)": number(mean / downside * math.sqrt(YEAR) if downside > 1e-14 else None),
            "Calmar ratio": number(a_year / drawdown if drawdown > 1e-14 else None),
            "Largest drawdown": percent(drawdown, 2),
            "Mean exposure, share of equity": percent((gross / of.equity)[1:].mean()),
            "Turnover, mean equities": number(of.ledger["traded"].sum() / of.equity.mean(), 1),
            "Trades": number(of.trades.height, 0),
            "Trades won": percent((net > 0).mean() if len(net) else None),
            "Profit factor": number(net[net > 0].sum() / lost if lost else None),
        }


def test_the_ledger_is_what_fills_and_holdings_say(frames):
    for of in frames:
        assert of.ledger["fee"].sum() == pytest.approx(of.fills["fee"].sum(), abs=1e-9)
        assert of.ledger["slippage"].sum() == pytest.approx(of.fills["slippage"].sum(), abs=1e-9)
        value = of.holdings.group_by("close_time", maintain_order=True).agg(
            (pl.col("units") * pl.col("price")).sum().alias("net"),
            (pl.col("units") * pl.col("price")).abs().sum().alias("gross"),
        )
        assert value["net"].to_numpy() == pytest.approx(of.ledger["position_value"].to_numpy(), abs=1e-6)
        assert value["gross"].to_numpy() == pytest.approx(of.ledger["gross"].to_numpy(), abs=1e-6)
        assert of.trades["net_pnl"].sum() == pytest.approx(of.equity[-1] - of.start, abs=1e-6)


def test_costs_are_those_of_the_ledger(accounts, frames):
    (picture,) = costs_section(*accounts).pictures
    shares = [frames[0].ledger[kind].sum() / frames[0].start for kind in ("fee", "slippage", "funding")]
    assert list(picture.figure.data[0].x) == pytest.approx([100 * share for share in shares], abs=1e-9)
    assert f"Together {percent(sum(shares), 2)} of the starting equity" in picture.caption
    net = frames[0].equity[-1] / frames[0].start - 1
    assert f"made {percent(net + sum(shares), 2, signed=True)} instead" in picture.caption
    held = sum(frames[1].ledger[kind].sum() for kind in ("fee", "slippage", "funding")) / frames[1].start
    assert f"holding paid {percent(held, 2)}" in picture.caption


def test_the_picture_of_equity_is_that_of_the_ledger(accounts, frames):
    (picture,) = equity_section(*accounts).pictures
    for trace, of in ((picture.figure.data[0], frames[1]), (picture.figure.data[2], frames[0])):
        at = {
            text: 100 * (equity / of.start - 1)
            for text, equity in zip(
                of.ledger["close_time"].dt.strftime("%Y-%m-%dT%H:%M"), of.equity, strict=True
            )
        }
        assert np.asarray(trace.y) == pytest.approx([at[text] for text in trace.x], rel=1e-5, abs=1e-5)


def test_risks_are_those_of_the_ledger(accounts, frames):
    found = risk_section(*accounts)
    for place, of in enumerate(frames, start=1):
        told = column(found, place)
        daily = of.daily()
        r = np.sort(daily[1:] / daily[:-1] - 1)
        low, high = np.quantile(r, [0.05, 0.95])
        below, longest = 0, 0
        for day in range(1, len(daily)):
            below = below + 1 if daily[day] < daily[: day + 1].max() * (1 - 1e-13) else 0
            longest = max(longest, below)
        gross, net = (of.ledger[name].to_numpy() / of.equity for name in ("gross", "position_value"))
        assert told["Value at risk of a day, 95 %"] == percent(0.0 - low, 2)
        worst = r[: int((len(r) - 1) * 0.05) + 1]
        assert told["Expected shortfall of a day, 95 %"] == percent(0.0 - worst.mean(), 2)
        assert told["Value at risk of a day, 99 %"] == "–"  # of fewer than 100 days
        assert told["Volatility a year, of days"] == percent(r.std(ddof=1) * math.sqrt(365))
        tails = high / -low if low < -1e-14 and high >= 0 else None
        assert told["Tail ratio of days"] == number(tails)
        assert told["Longest drawdown, days under water"] == str(longest)
        assert told["Time in market"] == percent((gross[1:] != 0).mean())
        assert told["Gross exposure, mean"] == percent(gross[1:].mean())
        assert told["Gross exposure, largest"] == percent(gross.max())
        assert told["Net exposure, mean"] == percent(net[1:].mean(), signed=True)


def test_the_table_of_trades_is_that_of_the_trades(accounts, frames):
    found = trades_section(*accounts)
    if frames[0].trades.is_empty():
        assert len(found.tables) == 1
        return
    last = frames[0].trades.row(-1, named=True)
    shown = dict(zip(found.tables[1].head, found.tables[1].rows[-1], strict=True))
    assert shown["Closed by"] == ("–" if last["exit_by"] is None else "decision")
    assert shown["Entry price"] == price(last["entry_price"])
    assert shown["Net"] == number(last["net_pnl"], 2, signed=True)
    assert shown.get("Symbol", last["symbol"]) == last["symbol"]
