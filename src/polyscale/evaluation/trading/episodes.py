"""A strategy's positions as episodes, and the same episodes at other times.

In: positions of one symbol and the closes at which they were decided. Out: `Episodes`, and positions made of
them in a random order. An episode is a run of rows with one and the same target; a run of zeros is a flat
one. A stay is a run of episodes without a flat one between: a position that is opened, perhaps resized or
turned, and closed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from polyscale.market.position import LEVELS, Positions


class Episodes(NamedTuple):
    """Runs of one target; `r` rows of the positions, `k` episodes, `b` blocks: stays and flat episodes."""

    positions: Positions
    close_r: Float64[np.ndarray, " r"]
    first_k: Int64[np.ndarray, " k"]  # row
    length_k: Int64[np.ndarray, " k"]  # rows
    kind_k: Int64[np.ndarray, " k"]  # equal where targets are
    first_b: Int64[np.ndarray, " b"]  # episode
    count_b: Int64[np.ndarray, " b"]  # episodes
    stay_b: Bool[np.ndarray, " b"]


def episodes_of(positions: Positions, close_r: Float64[np.ndarray, " r"]) -> Episodes:
    """Cut positions where the target changes; there must be a row."""
    target = positions.target
    first_k = np.flatnonzero(np.append(True, target[1:] != target[:-1]))
    target_k = target[first_k]
    flat_k = target_k == 0.0
    first_b = np.flatnonzero(np.append(True, flat_k[1:] | flat_k[:-1]))
    return Episodes(
        positions,
        close_r,
        first_k,
        np.diff(first_k, append=len(target)),
        np.unique(target_k, return_inverse=True)[1],
        first_b,
        np.diff(first_b, append=len(first_k)),
        ~flat_k[first_b],
    )


def has_one_order(episodes: Episodes) -> bool:
    """Whether every order that `shuffled` can draw has the same targets at the same times."""
    kind, length = episodes.kind_k, episodes.length_k
    lengths_differ = len(np.unique(np.stack([kind, length]), axis=1).T) > len(np.unique(kind))
    stays = {
        tuple(kind[first : first + count])
        for first, count, stay in zip(episodes.first_b, episodes.count_b, episodes.stay_b, strict=True)
        if stay
    }
    return not lengths_differ and len(stays) <= 1


def shuffled(episodes: Episodes, rng: np.random.Generator) -> Positions:
    """The same episodes at other times.

    Stays change places with stays, and then episodes with others of the same target, flat ones included. So
    the changes of the target are the same ones and no two trades grow together, also where the strategy is
    always in the market: orders, and what they cost, stay what they were. All orders that can come about so
    are equally likely, the one that was among them.

    Levels are prices, and prices were others at the new time: they go along in proportion to the close at
    the row that an episode begins in.
    """
    source_k = _same_kind(episodes, rng)[_stays_moved(episodes, rng)]
    positions, length_k = episodes.positions, episodes.length_k[source_k]
    first_k = np.cumsum(length_k) - length_k
    old_k = episodes.first_k[source_k]
    levels = {}
    if any(getattr(positions, name) is not None for name in LEVELS):
        row_r = np.repeat(old_k - first_k, length_k) + np.arange(len(positions.target))
        scale_r = np.repeat(episodes.close_r[first_k] / episodes.close_r[old_k], length_k)
        levels = {name: positions.level(name)[row_r] * scale_r for name in LEVELS}
    return Positions(positions.close_time, np.repeat(positions.target[old_k], length_k), **levels)


def _stays_moved(episodes: Episodes, rng: np.random.Generator) -> Int64[np.ndarray, " k"]:
    """Episodes in a new order: whole stays in the places of stays, flat ones where they were."""
    stays = np.flatnonzero(episodes.stay_b)
    block_b = np.arange(len(episodes.stay_b))
    block_b[stays] = rng.permutation(stays)
    count_b = episodes.count_b[block_b]
    begin_b = np.cumsum(count_b) - count_b
    return np.repeat(episodes.first_b[block_b] - begin_b, count_b) + np.arange(len(episodes.kind_k))


def _same_kind(episodes: Episodes, rng: np.random.Generator) -> Int64[np.ndarray, " k"]:
    """For each episode another one of the same target, each once."""
    kind_k = episodes.kind_k
    other_k = np.empty_like(kind_k)
    other_k[np.argsort(kind_k, kind="stable")] = np.lexsort((rng.random(len(kind_k)), kind_k))
    return other_k
