"""The slopes that a network carries are those of its validation, and every way to forecast obeys them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyscale.forecast.slopes import Slopes, fit_slopes, sloped
from polyscale.pipeline.calibrate import calibrate
from polyscale.pipeline.judge import forecast_panel
from polyscale.pipeline.learn import learn, prepare
from polyscale.pipeline.load import load_symbols
from polyscale.store.store import Store
from tests.pipeline.walk_market import walk_config


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    config = walk_config()
    prepared = prepare(config, load_symbols(config, Store("nowhere")))
    model, _ = learn(config, prepared, tmp_path_factory.mktemp("checkpoints"))
    return prepared, model


def said(prepared, model, part):
    return [
        forecast_panel(model, panel, getattr(split, part), prepared.beside(panel))
        for panel, split in zip(prepared.panels, prepared.splits, strict=True)
    ]


def test_slopes_are_fitted_on_validation_and_drawn_through_every_forecast(learned):
    prepared, model = learned
    heads = model.network.heads
    assert (heads.direction_slopes == 1).all()
    assert (heads.shape_slopes == 1).all()
    base = heads.base_quantiles.double().numpy()
    came = [p.targets.log_return[s.validate] for p, s in zip(prepared.panels, prepared.splits, strict=True)]
    expected = fit_slopes(said(prepared, model, "validate"), came, base)
    plain = said(prepared, model, "test")
    calibrate(model, prepared)
    np.testing.assert_allclose(heads.direction_slopes, expected.direction, atol=1e-6)
    np.testing.assert_allclose(heads.shape_slopes, expected.shape, atol=1e-6)
    assert (heads.shape_slopes < 1).all()
    for drawn, own in zip(said(prepared, model, "test"), plain, strict=True):
        wanted = sloped(own, expected, base)
        np.testing.assert_allclose(drawn.prob_up, wanted.prob_up, rtol=1e-5)
        np.testing.assert_allclose(drawn.quantiles, wanted.quantiles, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(drawn.expected_return, wanted.expected_return, rtol=1e-3, atol=1e-7)
        np.testing.assert_array_equal(drawn.volatility, own.volatility)


def test_at_zero_a_network_has_the_base_s_shape_and_no_direction(learned):
    prepared, model = learned
    horizons = len(model.facts.spec.horizons)
    model.network.heads.set_slopes(torch.zeros(horizons), torch.zeros(horizons))
    base = model.network.heads.base_quantiles.double().numpy()
    for drawn in said(prepared, model, "test"):
        np.testing.assert_array_equal(drawn.prob_up, 0.5)
        np.testing.assert_allclose(drawn.quantiles, base * drawn.volatility[..., None], rtol=1e-6)


def test_a_slope_of_one_changes_no_bit(learned):
    prepared, model = learned
    heads, horizons = model.network.heads, len(model.facts.spec.horizons)
    heads.set_slopes(torch.ones(horizons), torch.ones(horizons))
    out = torch.randn(3, 5, horizons, len(heads.base_quantiles[0]))
    own = heads._quantiles(out)
    assert torch.equal(torch.lerp(heads.base_quantiles, own, heads.shape_slopes[:, None]), own)
    nothing = Slopes(np.ones(horizons), np.ones(horizons))
    given = said(prepared, model, "test")[0]
    same = sloped(given, nothing, heads.base_quantiles.double().numpy())
    np.testing.assert_allclose(same.quantiles, given.quantiles, atol=1e-12)


def test_without_validation_nothing_is_believed(learned):
    prepared, model = learned
    heads, horizons = model.network.heads, len(model.facts.spec.horizons)
    heads.set_slopes(torch.ones(horizons), torch.ones(horizons))
    none = [replace(part, validate=np.zeros_like(part.validate)) for part in prepared.splits]
    calibrate(model, replace(prepared, splits=none))
    assert (heads.direction_slopes == 0).all()
    assert (heads.shape_slopes == 0).all()
