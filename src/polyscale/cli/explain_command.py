"""``polyscale explain``: what a run's forecasts rest on, and whether its weights say so."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyscale.cli.options import RUNS, STORE, JsonOption, RunArgument, RunsOption, StoreOption

if TYPE_CHECKING:
    from polyscale.evaluation.importance import Effect, RankCorrelation
    from polyscale.model.maps import AttentionMaps
    from polyscale.pipeline.explain import Explanation
    from polyscale.pipeline.load import SymbolBars
    from polyscale.pipeline.run import Run

_EXAMPLES = 'Examples: polyscale explain last; polyscale explain last --at "2026-02-03 12:00" --json'


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("explain", epilog=_EXAMPLES)(explain)


def explain(
    run: RunArgument = "last",
    top: Annotated[int, typer.Option(min=1, help="Features of each scale that are shown.")] = 5,
    feature_origins: Annotated[
        int, typer.Option(min=1, help="Origins of the test at which every feature is occluded.")
    ] = 4_096,
    at: Annotated[
        list[str] | None,
        typer.Option(help="Instead: what was looked at when forecasting at this close (UTC); repeatable."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="With --at; absent: the run's first.")] = None,
    store: StoreOption = STORE,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Leave out scales and features, hold the effects against the reported importance; or show attention."""
    from polyscale.cli import console
    from polyscale.pipeline.explain import explain_run
    from polyscale.pipeline.load import same_bars
    from polyscale.pipeline.run import load_run
    from polyscale.runs.folder import State, find_run
    from polyscale.store.store import Store

    with console.Watch() as watch:
        trained = load_run(find_run(runs, run, (State.TRAINED, State.COMPLETE)).path)
        symbols = same_bars(trained.folder, trained.config, Store(store))
        if not at:
            found = explain_run(trained, symbols, watch, feature_origins)
    if at:
        _maps(trained, symbols, symbol or trained.config.market.symbols[0], at, as_json=as_json)
    elif as_json:
        console.print_json([each.to_dict() for each in found])
    else:
        for each in found:
            _show(each, top)


def _show(found: Explanation, top: int) -> None:
    """Three tables and the rank correlations."""
    from polyscale.cli import console

    shifts = [f"moves {horizon}" for horizon in found.horizons]
    losses = [f"QLIKE {horizon}" for horizon in found.horizons]
    rows = [
        [s.scale, console.percent(s.importance), *_shifts(s.effects), *_losses(s.effects)]
        for s in found.scales
    ]
    rows.append(["inputs of the origin", "-", *_shifts(found.origin_inputs), *_losses(found.origin_inputs)])
    console.table(
        f"{found.symbol}: the forecast without a scale, {found.num_origins:,} origins of the test",
        ["left out", "importance", *shifts, *losses],
        rows,
    )
    shown = [
        feature
        for scale in found.scales
        for feature in [each for each in found.features if each.scale == scale.scale][:top]
    ]
    console.table(
        f"{found.symbol}: with a feature at its median, {found.num_feature_origins:,} origins",
        ["scale", "feature", *shifts, *losses],
        [[f.scale, f.feature, *_shifts(f.effects), *_losses(f.effects, ends=False)] for f in shown],
        num_text=2,
    )
    for sentence in _sentences(found):
        console.sentence(sentence)


def _shifts(effects: tuple[Effect, ...]) -> list[str]:
    from polyscale.cli import console

    return [console.percent(effect.shift) for effect in effects]


def _losses(effects: tuple[Effect, ...], *, ends: bool = True) -> list[str]:
    return [_loss(effect, ends=ends) for effect in effects]


def _loss(effect: Effect, *, ends: bool) -> str:
    from polyscale.cli import console

    if effect.qlike is None:
        return "-"
    told = f"{effect.qlike.mean:+.4f}"
    if not ends:
        return told
    if effect.qlike.low is None or effect.qlike.high is None:
        return console.spread(told, "[no interval]")
    return console.spread(told, f"[{effect.qlike.low:+.4f}, {effect.qlike.high:+.4f}]")


def _sentences(found: Explanation) -> list[str]:
    """What the columns mean, and how far the importance can be believed."""
    faith = found.faithfulness
    told = [
        "moves: mean absolute change of the log of the forecast volatility. QLIKE: how much worse the "
        "forecast gets, with its interval; below 0 it gets better.",
        f"Importance against moves: {_correlation(faith.shift)}.",
        f"Importance against the loss in QLIKE: {_correlation(faith.qlike)}.",
    ]
    if faith.per_origin_shift is not None:
        told.append(
            f"Origin by origin, importance and moves of the {len(found.scales)} scales have a rank "
            f"correlation of {faith.per_origin_shift:+.2f} on average."
        )
    return told


def _correlation(found: RankCorrelation) -> str:
    if found.value is None or found.p_one_sided is None:
        return f"no rank correlation, {found.reason}"
    return (
        f"rank correlation {found.value:+.2f} of {found.num} numbers, "
        f"{100 * found.p_one_sided:.0f} % of all orders do as well"
    )


def _maps(trained: Run, symbols: list[SymbolBars], symbol: str, at: list[str], *, as_json: bool) -> None:
    from polyscale.cli import console
    from polyscale.ingest.spans import read_instant_ms
    from polyscale.market.instant import time_of
    from polyscale.pipeline.explain import attention_maps

    times = [time_of(ms) for ms in map(read_instant_ms, at) if ms is not None]
    maps = attention_maps(trained, symbols, symbol, times)
    scales = trained.model.network.spec.scales
    told = [_told(maps, i, time, scales) for i, time in enumerate(times)]
    if as_json:
        console.print_json(told)
        return
    for each in told:
        console.table(
            f"{symbol} at {each['close_time']}: what each scale read, and how far back its newest row looked",
            ["scale", "importance", *(f"reads {name}" for name in scales), "half the weight", "nine tenths"],
            [
                [
                    name,
                    console.percent(each["importance"][name]),
                    *(console.percent(sum(each["across"][name][other])) for other in scales),
                    *(f"{_rows_of(each['within'][name][0], share)} rows" for share in (0.5, 0.9)),
                ]
                for name in scales
            ],
        )


def _told(maps: AttentionMaps, i: int, time: datetime, scales: tuple[str, ...]) -> dict[str, Any]:
    """One origin: weights over states between scales; inside, those of the newest row. Newest first."""
    across = maps.across[i, -1].tolist()
    return {
        "close_time": f"{time:%Y-%m-%d %H:%M}",
        "importance": dict(zip(scales, maps.output.scale_weights[i, -1].tolist(), strict=True)),
        "across": {
            name: dict(zip(scales, row, strict=True)) for name, row in zip(scales, across, strict=True)
        },
        "within": {
            name: [layer.rows[i, -1].tolist() for layer in layers]
            for name, layers in zip(scales, maps.encoders, strict=True)
        },
    }


def _rows_of(weights: list[float], share: float) -> int:
    """Newest rows that hold a share of the weight."""
    held = 0.0
    for rows, weight in enumerate(weights, start=1):
        held += weight
        if held >= share:
            return rows
    return len(weights)
