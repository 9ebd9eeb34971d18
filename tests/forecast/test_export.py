"""What `polyscale export` writes, in onnxruntime, against the network in torch: windows, streams, a run.

One run is exported once, by the command: its weights are random, so that no part of it is idle.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from polyscale.config.run_config import parse_config
from polyscale.dataset.panel import build_panel
from polyscale.forecast.graphs import OUTPUTS, StepGraph
from polyscale.market.errors import ConfigError, RunError
from polyscale.model.network import NetworkInput
from polyscale.model.state import NetworkState
from polyscale.pipeline.job import begin
from polyscale.pipeline.run import Silent, load_run
from polyscale.store.store import Store
from polyscale.training.model_file import save_model
from tests.pipeline.small import small

SCALES, LOOKBACKS, RATIOS = ("15m", "1h"), (16, 1), (1, 4)  # of one row nothing is carried but itself
CONFIG = small().replace("lookback: 8", "lookback: 1").replace("[{layers: 1", "[{layers: 2, window: 3")
TOLERANCE = {"atol": 1e-4, "rtol": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    trained = begin(parse_config(CONFIG, "small"), Store(root / "store"), root, Silent()).train(Silent())
    torch.manual_seed(0)
    for parameter in trained.model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_model(trained.model, trained.folder.path)
    return load_run(trained.folder.path)


@pytest.fixture(scope="module")
def files(run):
    command = [sys.executable, "-m", "polyscale", "export", "last", "--json"]
    command += ["--runs", str(run.folder.path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "torchvision" not in done.stderr
    told = json.loads(done.stdout)
    assert {Path(told[name]).parent for name in ("window", "step", "facts")} == {run.folder.path / "onnx"}
    return told


@pytest.fixture(scope="module")
def facts(files):
    return json.loads(Path(files["facts"]).read_text())


@pytest.fixture(scope="module")
def window(files):
    return session(files["window"])


@pytest.fixture(scope="module")
def step(files):
    return session(files["step"])


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def served(session, feed):
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in feed.items()})
    names = [output.name for output in session.get_outputs()]
    return {name: torch.from_numpy(array) for name, array in zip(names, outputs, strict=True)}


def assert_same(found, expected):
    """Forecasts of one origin; the network gives them with an axis of origins."""
    for name, value in zip(OUTPUTS, expected, strict=True):
        torch.testing.assert_close(found[name], value[:, 0], **TOLERANCE)


def named(prefix, tensors):
    return {f"{prefix}_{scale}": tensor for scale, tensor in zip(SCALES, tensors, strict=True)}


def of_origin(network, batch, generator):
    widths = {"origin": network.spec.num_origin_inputs, "base": len(network.spec.horizons)}
    return {name: torch.randn(batch, width, generator=generator) for name, width in widths.items()}


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_window_in_onnxruntime_is_the_network(run, window, batch, missing):
    network, generator = run.model.network, torch.Generator().manual_seed(batch)
    rows = [torch.randn(batch, size, 15, generator=generator) for size in LOOKBACKS]
    masks = [torch.rand(batch, size, generator=generator) >= missing for size in LOOKBACKS]
    given = of_origin(network, batch, generator)
    aligned = torch.tensor(LOOKBACKS).sub(1).expand(batch, 1, 2)
    origin, base = given["origin"][:, None], given["base"][:, None]
    expected = network(NetworkInput(rows, masks, aligned, origin, base))
    for row, mask in zip(rows, masks, strict=True):
        row[~mask] = torch.nan  # what a masked row holds does not matter
    assert_same(served(window, named("rows", rows) | named("mask", masks) | given), expected)


class Stream:
    """Symbols bar by bar: by the exported step, and by the network with a state for each symbol."""

    def __init__(self, network, step, batch, missing):
        self.network, self.step, self.batch, self.missing = network, step, batch, missing
        self.generator = torch.Generator().manual_seed(batch)
        self.states = [network.empty_state(1) for _ in range(batch)]
        self.carried = {tensor.name: tensor.zeros(batch) for tensor in StepGraph(network).state}

    def next(self, closed):
        """One more bar, and which scales closed, [B, S]; the forecasts of both."""
        rows = [torch.randn(self.batch, 15, generator=self.generator) for _ in SCALES]
        masks = [torch.rand(self.batch, generator=self.generator) >= self.missing for _ in SCALES]
        given = of_origin(self.network, self.batch, self.generator)
        feed = named("row", rows) | named("mask", masks) | given | {"closed": closed} | self.carried
        found = served(self.step, feed)
        self.carried = {name: found[f"new_{name}"] for name in self.carried}
        ones = [self._of_network(i, rows, masks, given, closed[i].int()) for i in range(self.batch)]
        return found, [torch.cat(parts) for parts in zip(*ones, strict=True)]

    def _of_network(self, i, rows, masks, given, new):
        inputs = NetworkInput(
            [row[i, None, None][:, :n] for row, n in zip(rows, new, strict=True)],
            [mask[i, None, None][:, :n] for mask, n in zip(masks, new, strict=True)],
            new.long().sub(1)[None, None],
            given["origin"][i, None, None],
            given["base"][i, None, None],
        )
        return self.network(inputs, self.states[i])


@torch.no_grad()
@pytest.mark.parametrize(
    ("batch", "bars", "missing"), [(1, 40, 0.0), (1, 40, 0.3), (7, 40, 0.3), (64, 6, 0.0), (64, 6, 0.3)]
)
def test_a_stream_in_onnxruntime_is_the_network_with_its_state(run, step, batch, bars, missing):
    stream = Stream(run.model.network, step, batch, missing)
    for bar in range(1, bars + 1):  # the symbols' coarse bars close at different times
        closed = torch.stack([(bar + torch.arange(batch)) % ratio == 0 for ratio in RATIOS], dim=-1)
        assert_same(*stream.next(closed))
    for name, value in NetworkState.stack(stream.states).tensors().items():
        torch.testing.assert_close(stream.carried[f"state.{name}"].float(), value.float(), **TOLERANCE)


@torch.no_grad()
def test_a_stream_goes_on_from_a_state_of_the_network(run, step):
    stream = Stream(run.model.network, step, 1, 0.0)
    stream.next(torch.tensor([[True, True]]))
    stream.carried = {f"state.{name}": tensor for name, tensor in stream.states[0].tensors().items()}
    assert_same(*stream.next(torch.tensor([[True, False]])))


def test_only_the_batch_is_free(window, step):
    for tensor in (*window.get_inputs(), *window.get_outputs(), *step.get_inputs(), *step.get_outputs()):
        assert tensor.shape[0] == "batch"
        assert all(isinstance(size, int) for size in tensor.shape[1:])


def scaled(raw, scaler, clip):
    return np.clip((raw - scaler["median"]) / np.array(scaler["spread"]), -clip, clip).astype(np.float32)


def fed_as_told(facts, panel, origins):
    """Windows of many origins out of raw features, made as onnx.json says."""
    feed = {
        "origin": scaled(panel.origin[origins], facts["origin"], facts["clip"]),
        "base": panel.base[origins].astype(np.float32),
    }
    for j, scale in enumerate(facts["scales"]):
        rows = panel.index[origins, j][:, None] + np.arange(1 - scale["lookback"], 1)
        assert scale["known"]
        assert rows.min() >= 0
        feed[f"rows_{scale['name']}"] = scaled(panel.features[j][rows], scale, facts["clip"])
        feed[f"mask_{scale['name']}"] = panel.warm[j][rows]
    return feed


def test_the_files_alone_serve_the_forecasts_of_the_run(run, window, facts, bars):
    panel = build_panel("SIM", bars, run.config.data)
    forecast = run.predict(bars)
    origins = np.flatnonzero(np.isin(panel.time_ms, forecast.close_time.astype(np.int64)))
    feed = fed_as_told(facts, panel, origins)
    assert {tensor["name"] for tensor in facts["window"]["inputs"]} == set(feed)
    found = dict(zip(facts["window"]["outputs"], window.run(None, feed), strict=True))
    ahead = np.array([horizon["bars"] for horizon in facts["horizons"]])
    volatility = np.exp(found["log_variance"] / 2) * np.sqrt(ahead)
    np.testing.assert_allclose(volatility, forecast.volatility, rtol=1e-4)
    np.testing.assert_allclose(
        found["quantiles"] * volatility[..., None], forecast.quantiles, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(1 / (1 + np.exp(-found["up_logit"])), forecast.prob_up, atol=1e-5)
    np.testing.assert_allclose(found["scale_weights"], forecast.scale_weights, atol=1e-5)


def test_the_facts_name_every_tensor_and_column(run, window, step, facts):
    types = {"tensor(float)": "float32", "tensor(bool)": "bool"}
    for graph, told in ((window, facts["window"]), (step, facts["step"])):
        inputs = [{"name": x.name, "shape": x.shape, "type": types[x.type]} for x in graph.get_inputs()]
        assert inputs == told["inputs"]
        assert [x.name for x in graph.get_outputs()] == told["outputs"]
    assert list(facts["outputs"]) == list(OUTPUTS) == facts["window"]["outputs"]
    shapes = {x.name: x.shape for x in (*step.get_inputs(), *step.get_outputs())}
    assert all(shapes[old] == shapes[new] for old, new in facts["step"]["state"].items())
    assert len(facts["origin"]["columns"]) == len(facts["origin"]["median"]) == shapes["origin"][1]
    features = [tuple(scale["features"]) for scale in facts["scales"]]
    assert features == list(run.model.facts.spec.features)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_told_with_the_remedy(run, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"onnx and onnxscript must be .*pip install 'polyscale\[onnx\]'"):
        run.export(tmp_path / "onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="needs a folder that can be written"):
        run.export(tmp_path / "file")
