"""Scales of bands, scales with features of their own, and features that need context."""

import numpy as np
import pytest
from pydantic import ValidationError

from polyscale.dataset.inputs import features_of
from polyscale.dataset.panel import build_panel
from polyscale.dataset.settings import DataSettings
from polyscale.features.context import Context
from polyscale.market.errors import ConfigError
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.scales.settings import VmdSettings, WaveletSettings
from polyscale.scales.vmd import rolling_vmd
from polyscale.scales.wavelet import modwt
from tests.features.test_features import funding_for

SCALES = [
    {"timeframe": "15m", "lookback": 12},
    {"timeframe": "15m", "lookback": 12, "source": "wavelet", "wavelet": {"wavelet": "haar", "levels": 3}},
    {"timeframe": "15m", "lookback": 6, "source": "vmd", "vmd": {"window": 64, "modes": 3, "every": 4}},
    {
        "timeframe": "15m",
        "lookback": 6,
        "source": "vmd",
        "bands": ["mode_1", "mode_2"],
        "vmd": {"window": 64},
    },
    {"timeframe": "1h", "lookback": 6, "features": ["rsi_simple", "funding_rate", "beta"]},
]
USUAL = {
    "horizons": ["1h", "4h"],
    "features": ("scaled_return_1", "close_position"),
    "base_forecast": {"window_days": 15, "min_days": 5},
}
SETTINGS = DataSettings(scales=SCALES, **USUAL)


@pytest.fixture(scope="module")
def context(bars):
    other = simulate_bars(SimulationSettings(days=40, timeframe=Timeframe(15), seed=8))
    return Context(funding_for(bars), {"OTHER": other})


@pytest.fixture(scope="module")
def panel(bars, context):
    return build_panel("X", bars, SETTINGS, context=context)


def changed(i, **keys):
    return [{**scale, **keys} if j == i else scale for j, scale in enumerate(SCALES)]


def test_scales_are_named_by_what_they_are():
    names = [scale.name for scale in SETTINGS.scales]
    assert names == ["15m", "15m haar", "15m vmd", "15m vmd mode_1 mode_2", "1h"]


def test_every_scale_has_the_features_of_its_source(panel):
    assert [rows.shape[1] for rows in panel.features] == [2, 8, 12, 8, 3]
    assert features_of(SETTINGS, SETTINGS.scales[3]).names[:2] == ["vmd_mode_1", "vmd_slope_1"]
    assert all(warm[-500:].all() for warm in panel.warm)


def test_the_details_of_a_wavelet_scale_sum_to_the_gap_to_its_trend(bars, panel):
    bands = modwt(np.log(bars["close"].to_numpy()), WaveletSettings(wavelet="haar", levels=3))
    rows = dict(zip(features_of(SETTINGS, SETTINGS.scales[1]).names, panel.features[1].T, strict=True))
    details = sum(rows[f"wavelet_detail_{level}"] for level in (1, 2, 3))
    np.testing.assert_allclose(details[100:], rows["wavelet_trend_gap"][100:], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        rows["wavelet_detail_2"][100:] / rows["wavelet_detail_1"][100:],
        (bands[1] / bands[0])[100:],
        rtol=1e-9,
    )


def test_modes_are_computed_by_the_clock_and_held(bars, panel):
    rows = rolling_vmd(np.log(bars["close"].to_numpy()), VmdSettings(window=64, modes=3))
    value, minutes = panel.features[2][:, 0], panel.time_ms // 60_000
    computed = np.flatnonzero((minutes // 15) % 4 == 0)[40:]
    for held in range(4):
        at = computed[computed + held < len(value)]
        np.testing.assert_array_equal(value[at + held], rows.value[at, 0])


def test_a_feature_without_its_context_says_so_before_anything_is_trained(bars):
    with pytest.raises(ConfigError, match=r"needs the column (funding_rate|market_level)"):
        build_panel("X", bars, SETTINGS)


@pytest.mark.parametrize(
    ("scales", "rule"),
    [
        (changed(1, source="vmd"), "wavelet must be given with source: wavelet only, got vmd"),
        (
            changed(1, bands=["detail_4"]),
            r"bands must be out of \['detail_1', 'detail_2', 'detail_3', 'trend'\]",
        ),
        (changed(3, bands=["mode_2", "mode_1"]), "in this order, got"),
        (changed(3, bands=[]), "bands must be out of"),
        (changed(1, features=["rsi"]), "features must be given with source: resample only"),
        (changed(4, features=["nope"]), r"scales\[4\].features must be out of .* got \['nope'\]"),
        (changed(2, source="resample", vmd=None), "without repeats"),
        (SCALES[1:], r"scales\[0\].source must be resample: it is the base"),
        (
            changed(1, wavelet={"wavelet": "db99"}),
            "wavelet must be a discrete filter of PyWavelets, got 'db99'",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(scales, rule):
    with pytest.raises(ValidationError, match=rule):
        DataSettings(scales=scales, **USUAL)
