"""What the whole chain says of markets whose truth is known."""

import pytest

from polyscale.config.presets import preset
from polyscale.config.run_config import read_config
from polyscale.evaluation.verdict import has_edge
from polyscale.pipeline.job import begin
from polyscale.pipeline.run import Silent, evaluate
from polyscale.store.store import Store

pytestmark = pytest.mark.slow


def scorecard(kind, seed, folder, days=365):
    """The demo's scorecard on another kind of market."""
    demo = read_config(preset("demo"))
    changes = {"kind": kind, "seed": seed, "days": days}
    simulation = demo.market.simulation.model_copy(update=changes)
    config = demo.model_copy(update={"market": demo.market.model_copy(update={"simulation": simulation})})
    job = begin(config, Store(folder / "store"), folder, Silent())
    return evaluate(job.train(Silent()), job.symbols, job.prepared, Silent())[0].scorecard


@pytest.mark.parametrize("seed", [11, 12])
def test_no_edge_is_reported_on_a_random_walk(seed, tmp_path):
    edges = has_edge(scorecard("random_walk", seed, tmp_path))
    assert len(edges) == 6
    assert not any(edges.values()), edges


@pytest.mark.parametrize("seed", [11, 12])
def test_the_network_beats_every_baseline_where_a_cross_scale_signal_is_planted(seed, tmp_path):
    scores = scorecard("planted", seed, tmp_path, days=730)  # in one year too few agreements at 4h
    for horizon in scores.horizons[:2]:  # 1h and 4h: a day ahead there are too few labels
        for baseline in horizon.volatility.baselines:
            assert baseline.difference.interval.high < 0, (str(horizon.horizon), baseline)
