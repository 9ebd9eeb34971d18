"""Tables of what came out of a run, on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyscale.cli import console
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.reproduce import Reproduction
from polyscale.pipeline.tell import RATIO, study_sentences

_ACCOUNTS = ("strategy", "buy_and_hold")
_SHARES = ("total_return", "max_drawdown", "win_rate", "exposure")


def show_outcome(told: dict[str, Any], symbol: str) -> None:
    """QLIKE beside the baselines, and the verdict, of one symbol."""
    columns = ["horizon", "network", "base", "log-HAR", "last value", "ratio to base", "labels"]
    rows = [
        [
            horizon,
            *(
                console.spread(console.number(row["qlike"].get(name)), _ends(row, name))
                for name in ("network", "base", "log-HAR")
            ),
            console.number(row["qlike"].get("last value")),
            console.number(row["ratio"]),
            str(row["num_independent"]),
        ]
        for horizon, row in told["horizons"].items()
    ]
    console.table(f"{symbol}: QLIKE of volatility in the test (less is better)", columns, rows)
    for sentence in told["verdict"]:
        console.sentence(sentence)


def show_short_audit(told: dict[str, Any], cuts: int) -> None:
    """Whether any of the newest rows knew its future."""
    if told["clean"]:
        console.sentence(
            f"Look-ahead audit: clean at {cuts} cuts of the newest rows; `polyscale audit last` asks more."
        )
        return
    console.sentence("Look-ahead audit: what stands above cannot be believed, for")
    for leak in told["leaks"]:
        console.out.print(f"  {leak}", highlight=False, markup=False)


def show_forecast(each: dict[str, Any]) -> None:
    """The newest forecast of one symbol, a row per horizon."""
    rows = each["newest"]
    console.table(
        f"{each['symbol']}: forecast made at {rows[0]['close_time']} UTC",
        ["horizon", "volatility", "base", "probability up", "80 % interval of the return"],
        [
            [
                row["horizon"],
                console.percent(row["volatility"], 2),
                console.percent(row["base_volatility"], 2),
                console.percent(row["prob_up"]),
                f"{console.percent(row['low'], 2)} .. {console.percent(row['high'], 2)}",
            ]
            for row in rows
        ],
    )
    console.out.print(f"all forecasts: {each['forecasts']}", highlight=False)


def show_money(symbol: str, figures: dict[str, dict[str, Any]]) -> None:
    """Measures of the strategy beside buy-and-hold's."""
    names = [name for name, value in figures["strategy"].items() if not isinstance(value, dict)]
    rows = [[name, *(_money(name, figures[who][name]) for who in _ACCOUNTS)] for name in names]
    console.table(
        f"{symbol}, after costs; fees, slippage and funding in quote coin",
        ["measure", "strategy", "buy and hold"],
        rows,
    )


def show_study(symbol: str, looked_into: dict[str, Any]) -> None:
    """Each scale as a strategy beside holding, and what is left of the one that is traded."""
    if "lines" not in looked_into:
        console.sentence(f"{symbol}: {looked_into['reason']}.")
        return
    rows = [
        [
            f"{_short(name)} *" if name == looked_into["traded"] else _short(name),
            console.percent(line["total_return"], 2),
            console.number(line["sharpe_ratio"], 2),
            console.percent(line["max_drawdown"], 2),
            str(line["n_trades"]),
            console.percent(line["costs"], 2),
            _bps(line["over_hold"]) if name != "buy and hold" else "",
        ]
        for name, line in looked_into["lines"].items()
    ]
    columns = ["line", "return", "Sharpe", "drawdown", "trades", "costs", "over hold a day, bps"]
    console.table(f"{symbol}: scales as strategies, after costs (* traded)", columns, rows)
    for name, reason in looked_into["reasons"].items():
        console.sentence(f"No line {name}: {reason}.")
    for sentence in study_sentences(looked_into):
        console.sentence(sentence)


def show_runs(runs: Path, rows: list[dict[str, Any]]) -> None:
    """Runs side by side."""
    names = {name for row in rows for name in row}
    ratios = sorted(
        (n for n in names if n.startswith(RATIO)), key=lambda n: Timeframe.parse(n.removeprefix(RATIO))
    )
    columns = ["run", "state", "seed", *ratios, "return", "hold"]
    console.table(f"runs in {runs}", columns, [[_of_run(row, name) for name in columns] for row in rows])


def show_reproduction(name: str, outcome: Reproduction) -> None:
    """Whether every figure is the same, and the first that are not."""
    if outcome.same:
        console.out.print(f"{name}: all {outcome.num_figures:,} figures are the same to the last digit")
        return
    title = f"{name}: {len(outcome.differences)} of {outcome.num_figures} figures differ"
    rows = [[figure, repr(then), repr(now)] for figure, then, now in outcome.differences[:20]]
    console.table(title, ["figure", "then", "now"], rows)


def _bps(interval: dict[str, Any]) -> str:
    """A mean of daily returns with its interval, in basis points."""
    mean = f"{1e4 * interval['mean']:+.1f}"
    if interval["low"] is None:
        return console.spread(mean, "[no interval]")
    return console.spread(mean, f"[{1e4 * interval['low']:+.1f}, {1e4 * interval['high']:+.1f}]")


def _ends(row: dict[str, Any], name: str) -> str:
    """An interval for a cell; too few labels give none."""
    low, high = row["low"].get(name), row["high"].get(name)
    return "[no interval]" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def _money(name: str, value: object) -> str:
    """A measure of an account: shares in per cent, ratios to two digits."""
    if not isinstance(value, float):
        return _measure(value)
    return console.percent(value, 2) if name in _SHARES else console.number(value, 2)


def _of_run(row: dict[str, Any], name: str) -> str:
    """A figure of a run: returns in per cent, ratios of losses to three digits."""
    value = row.get(name)
    if not isinstance(value, float):
        return _measure(value)
    return console.percent(value, 2) if name in ("return", "hold") else console.number(value)


def _short(name: str) -> str:
    return name.replace("volatility-managed", "managed")


def _measure(value: object) -> str:
    """A figure for a cell."""
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
