"""Whether everybody can read the page: contrast of text and lines, and colours that must not look alike."""

import itertools

import numpy as np
import pytest

from polyscale.report import palette

TEXT = {
    name: getattr(palette, name) for name in ("INK", "MUTED", "NETWORK", "HAR", "GOOD", "BAD")
}  # beside a line, in a cell or in a sentence
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
SEEN_WITHOUT = {
    "red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "nothing": np.eye(3),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2: from 1 to 21."""
    high, low = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def distance(one, other, without):
    """CIE76 between two colours as somebody without a kind of cones sees them."""
    seen = [np.clip(np.asarray(SEEN_WITHOUT[without]) @ linear(colour), 0, 1) for colour in (one, other)]
    x, y, z = (np.cbrt(np.array([TO_XYZ[i] @ each for each in seen]) / WHITE[i]) for i in range(3))
    lab = np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    return float(np.linalg.norm(lab[:, 0] - lab[:, 1]))


def shown(colour, *, dark):
    return palette.SWAPS[colour] if dark else colour


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def dark(request):
    return request.param


@pytest.fixture
def grounds(dark):
    return [shown(palette.SURFACE, dark=dark), palette.GROUND[1 + dark]]


@pytest.mark.parametrize("name", TEXT)
def test_text_has_the_contrast_that_wcag_asks_for(name, dark, grounds):
    assert min(contrast(shown(TEXT[name], dark=dark), ground) for ground in grounds) >= 4.5


def test_lines_of_horizons_carry_labels_in_their_own_colour(dark, grounds):
    for colour in palette.STRANDS_LIGHT:
        assert contrast(shown(colour, dark=dark), grounds[0]) >= 4.5


def test_dots_without_a_side_are_seen(dark, grounds):
    assert contrast(shown(palette.BASELINE, dark=dark), grounds[0]) >= 3


def test_figures_in_a_heat_map_are_legible_from_the_empty_to_the_full_cell(dark):
    for colour in (palette.SURFACE, palette.HEAT):
        assert contrast(shown(palette.INK, dark=dark), shown(colour, dark=dark)) >= 4.5


def test_the_banner_is_legible(dark):
    assert contrast(palette.WARN[1 + dark], palette.WARN_INK[1 + dark]) >= 4.5


@pytest.mark.parametrize("without", SEEN_WITHOUT)
@pytest.mark.parametrize(("one", "other"), [("NETWORK", "GOOD"), ("NETWORK", "BAD"), ("GOOD", "BAD")])
def test_colours_that_mean_something_are_told_apart_without_red_or_green(one, other, without, dark):
    pair = [shown(getattr(palette, name), dark=dark) for name in (one, other)]
    assert distance(*pair, without) >= 20


@pytest.mark.parametrize("without", SEEN_WITHOUT)
def test_the_lines_of_a_chart_are_told_apart_without_red_or_green(without, dark):
    lines = [shown(colour, dark=dark) for colour in (palette.NETWORK, palette.HAR, palette.BASELINE)]
    assert min(distance(a, b, without) for a, b in itertools.combinations(lines, 2)) >= 20


def test_every_colour_has_its_dark_one_and_the_page_has_no_other():
    light, dark_style = (palette.style(dark=dark) for dark in (False, True))
    assert [part.split(":")[0] for part in light.split("; ")] == [
        part.split(":")[0] for part in dark_style.split("; ")
    ]
    assert f"--good: {palette.GOOD};" in light
    assert f"--good: {palette.DARK[palette.GOOD]};" in dark_style
