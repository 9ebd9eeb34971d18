"""A trained model as ONNX: ``window.onnx``, ``step.onnx``, and ``onnx.json`` that says how to feed them.

In: a model and a folder. Out: the three files. The graphs are the network's own forward with torch's own
operations, traced for any batch size; they hold all weights and no code of polyscale.
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

import torch

from polyscale.forecast.graphs import StepGraph, WindowGraph
from polyscale.forecast.onnx_facts import onnx_facts
from polyscale.market.errors import ConfigError, RunError
from polyscale.model.kernels.ops import explicit
from polyscale.training.model_file import Model

OPSET: Final = 20
_EXAMPLE_BATCH: Final = 2  # torch takes sizes of 0 and 1 for fixed


class OnnxFiles(NamedTuple):
    """What an export wrote."""

    window: Path
    step: Path
    facts: Path


def export_model(model: Model, folder: Path) -> OnnxFiles:
    """Write both graphs and their JSON into a folder, in place of earlier ones.

    Raises
    ------
    ConfigError
        If the packages that write ONNX are not installed.
    RunError
        If the folder cannot be written.
    """
    files = OnnxFiles(folder / "window.onnx", folder / "step.onnx", folder / "onnx.json")
    window, step = WindowGraph(model.network), StepGraph(model.network)
    _check_installed()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        export_graph(window, files.window)
        export_graph(step, files.step)
        facts = {"opset": OPSET, **onnx_facts(model.facts, window, step)}
        files.facts.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{folder}: the export needs a folder that can be written ({error}); give another --out"
        ) from error
    return files


def export_graph(graph: WindowGraph | StepGraph, path: Path) -> None:
    """Write one graph; its first axis is named ``batch`` and has any size."""
    graph.eval()
    examples = tuple(named.zeros(_EXAMPLE_BATCH) for named in graph.inputs)
    batch = torch.export.Dim("batch", min=1)
    with explicit(), torch.no_grad(), warnings.catch_warnings():
        # torch's exporter copies a tree by a way that torch deprecates
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        traced = torch.export.export(
            graph, examples, dynamic_shapes={"given": tuple({0: batch} for _ in examples)}
        )
        program = torch.onnx.export(
            traced,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[named.name for named in graph.inputs],
            output_names=graph.outputs,
            dynamic_shapes={"given": ({0: "batch"}, *[None] * (len(examples) - 1))},  # names the axis
        )
    assert program is not None
    program.save(path, external_data=False)


def _check_installed() -> None:
    try:
        for package in ("onnx", "onnxscript"):
            import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"the packages onnx and onnxscript must be installed to export, got: {error}; "
            "pip install 'polyscale[onnx]'"
        ) from error
