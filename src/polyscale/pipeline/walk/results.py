"""What a walk-forward came to, as plain data for evaluation.json, the command and the report.

In: the tracks of all symbols. Out: nested dicts. Every figure has its rival and its interval beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias

import numpy as np

from polyscale.config.run_config import RunConfig
from polyscale.evaluation.baselines.registry import ALWAYS
from polyscale.evaluation.bootstrap import Bootstrap, block_length
from polyscale.evaluation.breakdown import Part, by_hour, by_month, by_regime
from polyscale.evaluation.claims import NUM_KINDS, claims, evidence_of
from polyscale.evaluation.contest import Contest, contest
from polyscale.evaluation.losses import qlike
from polyscale.evaluation.scorecard import Scorecard, score
from polyscale.evaluation.tail_risk import TailRisk, score_tail_risk
from polyscale.evaluation.trading.managed import ManagedComparison
from polyscale.market.forecast import Floats
from polyscale.pipeline.walk.assemble import OWN, Track

BASE: Final = "base"
Managed: TypeAlias = Sequence[ManagedComparison] | str


def results_of(
    tracks: Sequence[Track], config: RunConfig, managed: Mapping[str, Managed] | None = None
) -> dict[str, Any]:
    """Score every symbol, average over symbols, and judge all claims together.

    ``managed`` by symbol: volatility-managed holding, or why there is none.
    """
    held = managed or {}
    cards = {track.symbol: _scorecard(track, config, len(tracks)) for track in tracks}
    contests = {track.symbol: _contest(track, config) for track in tracks}
    made = claims(evidence_of(cards), config.evaluation.confidence, config.evaluation.min_independent)
    return {
        "horizons": [str(horizon) for horizon in config.data.horizons],
        "symbols": {
            track.symbol: {
                "scorecard": cards[track.symbol].to_dict(),
                "standings": _plain(contests[track.symbol]),
                "tail_risk": [_tail(track, config, h) for h in range(len(config.data.horizons))],
                "breakdown": [_breakdown(track, config, h) for h in range(len(config.data.horizons))],
                "ablations": _ablations(track),
                "seeds": _seeds(track),
                "slopes": [
                    {"fold": fold, "direction": each.direction.tolist(), "shape": each.shape.tolist()}
                    for fold, each in track.slopes.items()
                ],
                "first": str(track.forecast.close_time[0]),
                "last": str(track.forecast.close_time[-1]),
                **_managed(held.get(track.symbol, ())),
            }
            for track in tracks
        },
        "averages": averages(contests),
        "ablations": _mean_of_dicts([_ablations(track) for track in tracks]),
        "claims": [asdict(claim) for claim in made],
    }


def averages(contests: Mapping[str, Contest]) -> list[dict[str, dict[str, float]]]:
    """By horizon and rival: means over symbols of the losses, and of the ratios that there are."""
    found: list[dict[str, dict[str, float]]] = []
    for h in range(len(next(iter(contests.values())).standings)):
        table = [each.standings[h] for each in contests.values()]
        means: dict[str, dict[str, float]] = {}
        for name in dict.fromkeys(name for row in table for name in row):
            rows = [row[name] for row in table if name in row]
            means[name] = {"num_symbols": len(rows)}
            for kind in ("qlike", "pinball", "crps"):
                losses = [getattr(row, kind) for row in rows]
                ratios = [1.0 if name == OWN else loss.ratio for loss in losses]
                known = [ratio for ratio in ratios if ratio is not None]
                means[name][kind] = float(np.mean([loss.mean for loss in losses]))
                means[name][f"{kind}_ratio"] = float(np.mean(known)) if known else math.nan
        found.append(means)
    return found


def _scorecard(track: Track, config: RunConfig, num_symbols: int) -> Scorecard:
    base = track.entries.get(BASE)
    return score(
        track.forecast,
        track.log_variance,
        track.returns,
        {name: track.entries[name].log_variance for name in ALWAYS if name in track.entries},
        None if base is None else base.quantiles,
        bars_per_horizon=_bars(config),
        step_bars=config.data.base.bars_in(config.evaluation.every),
        settings=config.evaluation,
        claims_per_horizon=NUM_KINDS * num_symbols,
    )


def _contest(track: Track, config: RunConfig) -> Contest:
    return contest(
        OWN,
        track.entries,
        track.log_variance,
        track.returns,
        config.levels,
        _bars(config),
        config.data.base.bars_in(config.evaluation.every),
        config.evaluation,
    )


def _tail(track: Track, config: RunConfig, h: int) -> dict[str, Any] | None:
    """Value at risk and expected shortfall at the lowest level, on labels that do not overlap."""
    horizon, times = (
        config.data.horizons[h],
        track.forecast.close_time.astype("datetime64[ms]").astype(np.int64),
    )
    apart = (times % horizon.ms == horizon.offset_ms % horizon.ms) & np.isfinite(track.returns[:, h])
    at_risk, beyond = track.forecast.quantiles[apart, h, 0], track.shortfall[apart, h]
    if not apart.any() or (at_risk >= 0).any():
        return None
    found: TailRisk = score_tail_risk(
        track.returns[apart, h],
        at_risk,
        np.minimum(beyond, at_risk * (1 + 1e-9)),
        config.levels[0],
        _bootstrap(config, int(apart.sum()), 1),
        before_steps=track.plain_var[apart, h],
    )
    return {"horizon": str(horizon), "refused": list(found.refused), **asdict(found)}


def _breakdown(track: Track, config: RunConfig, h: int) -> dict[str, list[dict[str, Any]]]:
    """QLIKE of the network and of its base by month, hour and volatility."""
    base = track.entries.get(BASE)
    if base is None:
        return {}
    came, own = track.log_variance[:, h], track.entries[OWN].log_variance[:, h]
    rows = np.isfinite(came) & np.isfinite(base.log_variance[:, h])
    loss, other = qlike(came[rows], own[rows]), qlike(came[rows], base.log_variance[rows, h])
    span = -(-_bars(config)[h] // config.data.base.bars_in(config.evaluation.every))
    bootstrap, times = _bootstrap(config, int(rows.sum()), span), track.forecast.close_time[rows]
    parts: dict[str, Sequence[Part]] = {
        "month": by_month(loss, other, times, bootstrap),
        "hour": by_hour(loss, other, times, bootstrap),
        "volatility": by_regime(loss, other, track.sigma[rows], bootstrap),
    }
    return {name: [asdict(part) for part in found] for name, found in parts.items()}


def _managed(found: Managed) -> dict[str, Any]:
    if isinstance(found, str):
        return {"managed": [], "managed_reason": found}
    return {"managed": [{**asdict(each), "horizon": str(each.horizon)} for each in found]}


def _ablations(track: Track) -> dict[str, list[float]]:
    """Mean QLIKE of a variant over that of the whole network with the same seed, per horizon."""
    whole = track.seeds[min(track.seeds)]
    return {name: _ratios(track, values, whole) for name, values in track.variants.items()}


def _seeds(track: Track) -> dict[str, list[float]]:
    """Mean QLIKE of each seed alone over that of the base, per horizon."""
    base = track.entries.get(BASE)
    if base is None:
        return {}
    return {str(seed): _ratios(track, values, base.log_variance) for seed, values in track.seeds.items()}


def _ratios(track: Track, one: Floats, other: Floats) -> list[float]:
    loss, whole = (qlike(track.log_variance, values) for values in (one, other))
    found = []
    for h in range(loss.shape[1]):
        both = np.isfinite(loss[:, h]) & np.isfinite(whole[:, h])
        found.append(float(loss[both, h].mean() / whole[both, h].mean()) if both.any() else float("nan"))
    return found


def _mean_of_dicts(found: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    return {name: np.mean([each[name] for each in found], axis=0).tolist() for name in found[0]}


def _bootstrap(config: RunConfig, num: int, span: int) -> Bootstrap:
    settings = config.evaluation
    return Bootstrap(block_length(num, span), settings.confidence, settings.num_bootstrap, settings.seed)


def _bars(config: RunConfig) -> tuple[int, ...]:
    return tuple(config.data.base.bars_in(horizon) for horizon in config.data.horizons)


def _plain(found: Contest) -> list[dict[str, Any]]:
    return [
        {"num_origins": num, "models": {name: asdict(standing) for name, standing in standings.items()}}
        for num, standings in zip(found.num_origins, found.standings, strict=True)
    ]
