"""Which features the rows of a scale have: the catalogue's, or those of the bands that its source gives."""

from __future__ import annotations

from polyscale.dataset.settings import DataSettings
from polyscale.features.bands import band_features
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.feature import FeatureSet, select
from polyscale.scales.settings import ScaleSettings, Source


def features_of(data: DataSettings, scale: ScaleSettings) -> FeatureSet:
    """The features of one scale's rows, in the order in which the network reads them."""
    if scale.source is Source.RESAMPLE:
        return select(scale.features or data.features, CATALOGUE)
    return FeatureSet(band_features(scale))
