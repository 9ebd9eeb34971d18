"""The features that come with the product, in groups: `polyscale.features.catalogue.CATALOGUE` by name.

Every one is free of the price's and the volume's own unit.
"""

from __future__ import annotations

from typing import Final

from polyscale.features.bands import VMD, WAVELET
from polyscale.features.chapter import CHAPTER_FEATURES, SIMPLE_RSI
from polyscale.features.clock import CLOCK
from polyscale.features.feature import Feature
from polyscale.features.surroundings import FUNDING, MARKET
from polyscale.features.volatility import JUMPS, MOVES, RELATIVE, VOLATILITY
from polyscale.features.volume import VOLUME

GROUPS: Final[dict[str, tuple[Feature, ...]]] = {
    "chapter": (*CHAPTER_FEATURES, SIMPLE_RSI),
    "moves": MOVES,
    "volatility": VOLATILITY,
    "relative volatility": RELATIVE,
    "jumps": JUMPS,
    "volume": VOLUME,
    "clock": CLOCK,
    "funding": FUNDING,
    "market": MARKET,
    "wavelet": WAVELET,
    "vmd": VMD,
}

CATALOGUE: Final[dict[str, Feature]] = {
    feature.name: feature for group in GROUPS.values() for feature in group
}

CHAPTER: Final[tuple[str, ...]] = tuple(feature.name for feature in CHAPTER_FEATURES)
"""The chapter's set less its twins (``return_1`` is ``log_return``, ``rsi_normalized`` is ``rsi``)."""
