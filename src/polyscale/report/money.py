"""What trading on the forecast did to an account: equity, costs, trades.

In: the backtests of the strategy and of buying and holding. Out: three `Section`s. They read the ledger, its
fills, trades and holdings, and nothing else.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from polyscale.backtesting.result import BacktestResult
from polyscale.report import palette
from polyscale.report.section import Picture, Section, Table
from polyscale.report.wording import ABSENT, number, percent, price

_MAX_POINTS = 700
_LAST_TRADES = 20
_TRADE_HEAD = (
    "Exit (UTC)", "Closed by", "Side", "Units", "Entry price", "Exit price", "Gross", "Costs", "Net",
)  # fmt: skip
_CLOSED_BY = {"order": "decision", "take_profit": "take-profit"}
_MEASURES = (  # field, name, format
    ("total_return", "Total return", lambda v: percent(v, 2, signed=True)),
    ("sharpe_ratio", "Sharpe ratio (a year)", number),
    ("sortino_ratio", "Sortino ratio (a year)", number),
    ("calmar_ratio", "Calmar ratio", number),
    ("max_drawdown", "Largest drawdown", lambda v: percent(v, 2)),
    ("exposure", "Mean exposure, share of equity", percent),
    ("turnover", "Turnover, mean equities", lambda v: number(v, 1)),
    ("n_trades", "Trades", lambda v: number(v, 0)),
    ("win_rate", "Trades won", percent),
    ("profit_factor", "Profit factor", number),
)


def equity_section(strategy: BacktestResult, hold: BacktestResult) -> Section:
    """Equity and drawdown of both accounts."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.1)
    ends = []
    for result, name, line, text in (
        (hold, "hold", palette.BASELINE, palette.MUTED),
        (strategy, "strategy", palette.NETWORK, palette.NETWORK),
    ):
        end = _add_account(figure, result, name, line)
        ends.append((f"<b>{name}</b><br>{number(end, 1, unit=' %', signed=True)}", end, text))
    palette.styled(figure, 420, right=76, left=48)
    for text, axis in (
        ("change since the start", "y domain"),
        ("below the highest point so far", "y2 domain"),
    ):
        figure.add_annotation(
            text=text, x=0, xref="paper", xanchor="left", xshift=4, y=1.0, yref=axis, yanchor="bottom",
            showarrow=False,
        )  # fmt: skip
    figure.update_layout(margin={"t": 22})
    values = np.concatenate([np.asarray(trace.y) for trace in figure.data[::2]])
    palette.direct_labels(figure, ends, float(np.ptp(values)) or 1.0, gap=0.18)
    figure.update_yaxes(ticksuffix=" %", nticks=6)
    figure.update_yaxes(nticks=3, row=2, col=1)
    figure.update_layout(hovermode="x unified")
    caption = (
        "After fees, slippage and funding the strategy ended at "
        f"{percent(strategy.total_return, 1, signed=True)}, holding at "
        f"{percent(hold.total_return, 1, signed=True)}; at their deepest they were "
        f"{percent(strategy.max_drawdown)} and {percent(hold.max_drawdown)} below their highest point so far."
    )
    lead = ["The account was liquidated in this test."] if strategy.liquidated else []
    picture = Picture(
        "Did it do better than buying and holding?",
        figure,
        caption,
        unit="change of equity and drawdown, %, UTC",
    )
    return Section("equity", "Equity and drawdown", lead, [picture])


def costs_section(strategy: BacktestResult, hold: BacktestResult) -> Section:
    """Costs by kind as shares of the starting equity, and what was earned before them."""
    costs, held = strategy.costs, hold.costs
    kinds = {"fees": costs.fees_share, "slippage": costs.slippage_share, "funding": costs.funding_share}
    names, values = list(kinds), [100 * share for share in kinds.values()]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            marker={"color": palette.NETWORK},
            width=0.55,
            text=[number(value, 2, unit=" %") for value in values],
            textposition="outside",
            cliponaxis=False,
            textfont={"color": palette.INK},
            hovertemplate="%{y} %{x:.3f} %<extra></extra>",
        )
    )
    palette.styled(figure, 176, right=16, left=72)
    figure.update_xaxes(
        ticksuffix=" %", nticks=5, zeroline=True, zerolinecolor=palette.MUTED, range=_room_for_text(values)
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": palette.INK})
    source = {
        "stored": "Funding is what the venue charged, from the store.",
        "assumed": "No funding was stored for this test, so an assumed rate was charged.",
    }.get(strategy.funding_source, f"Funding: {strategy.funding_source}.")
    if costs.funding < 0.0:
        source += " Less than zero was received."
    net = strategy.total_return
    gross = None if net is None else net + costs.total_share
    caption = (
        f"Together {percent(costs.total_share, 2)} of the starting equity; without them the same fills would "
        f"have made {percent(gross, 2, signed=True)} instead of {percent(net, 2, signed=True)}. "
        f"Buying and holding paid {percent(held.total_share, 2)}. {source}"
    )
    picture = Picture(
        "What trading cost the strategy", figure, caption, half=True, unit="% of the starting equity"
    )
    return Section("costs", "Costs", [], [picture])


def trades_section(strategy: BacktestResult, hold: BacktestResult) -> Section:
    """Measures of both accounts, and the last trades."""
    rows = [
        (name, write(getattr(strategy, field)), write(getattr(hold, field)))
        for field, name, write in _MEASURES
    ]
    names = {field: name for field, name, _ in _MEASURES}
    notes = [f"{names.get(field, field)}: {why}." for field, why in strategy.reasons.items()]
    measures = Table(
        "Measures of the test, after costs",
        ("Measure", "Strategy", "Buy and hold"),
        rows,
        f"A dash is a number that does not exist. {' '.join(notes)}" if notes else "",
    )
    if strategy.trades.is_empty():
        return Section("trades", "Trades", ["The strategy did not trade in this test."], [], [measures])
    shown, many = strategy.trades.tail(_LAST_TRADES), len(strategy.grid.symbols) > 1
    trades = Table(
        f"The last {shown.height} of {strategy.n_trades} trades",
        ("Entry (UTC)", *(["Symbol"] if many else []), *_TRADE_HEAD),
        [_trade(row, many=many) for row in shown.iter_rows(named=True)],
        "Gross, costs and net in quote coin. A trade without an exit is open, valued at the last close.",
    )
    return Section("trades", "Trades", [], [], [measures, trades])


def _room_for_text(values: list[float]) -> list[float] | None:
    """From the least to the greatest or zero, with room for the figure at the end of a bar."""
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.2 * (high - low)
    return [low - 1.3 * room * (low < 0), high + room] if room else None


def _add_account(figure: go.Figure, result: BacktestResult, name: str, colour: str) -> float:
    """Draw equity and drawdown of one account; return its change at the end, in percent."""
    equity = result.equity_curve["equity"].to_numpy()
    start = result.costs.initial_capital
    drawdown = 100 * (equity / np.maximum.accumulate(np.maximum(equity, start)) - 1)
    starts = palette.chunk_starts(equity.size, _MAX_POINTS)
    ends = np.append(starts[1:], equity.size) - 1
    change = 100 * (equity / start - 1)
    times = palette.time_text(result.equity_curve["close_time"].dt.replace_time_zone(None).to_numpy()[ends])
    hover = f"{name} %{{y:.2f}} %<extra></extra>"
    line = {"color": colour, "width": 2}
    figure.add_scatter(
        x=times, y=change[ends].astype(np.float32), line=line, mode="lines", hovertemplate=hover, row=1, col=1
    )
    figure.add_scatter(
        x=times,
        y=np.minimum.reduceat(drawdown, starts).astype(np.float32),
        mode="lines",
        line={"color": colour, "width": 1.5},
        hovertemplate=hover,
        row=2,
        col=1,
        fill="tozeroy" if name == "strategy" else None,
        fillcolor=palette.BAND,
    )
    return float(change[-1])


def _trade(row: dict[str, object], *, many: bool) -> tuple[str, ...]:
    """Cells of a trade, with its symbol where there are several."""
    by = row["exit_by"]

    def when(name: str) -> str:
        return f"{row[name]:%Y-%m-%d\N{NO-BREAK SPACE}%H:%M}" if row[name] is not None else "open"

    def money(name: str) -> str:
        return number(_float(row[name]), 2, signed=name != "costs")

    return (
        when("entry_time"),
        *([str(row["symbol"])] if many else []),
        when("exit_time"),
        ABSENT if by is None else _CLOSED_BY.get(str(by), str(by)),
        str(row["side"]),
        number(_float(row["units"]), 4),
        *(price(_float(row[name])) for name in ("entry_price", "exit_price")),
        *(money(name) for name in ("gross_pnl", "costs", "net_pnl")),
    )


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
