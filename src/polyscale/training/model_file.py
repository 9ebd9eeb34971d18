"""A trained model on disk: ``model.safetensors`` for the weights, ``model.json`` for all else. No pickle.

The JSON holds the network's spec, the data settings, the frozen scalers and what every feature's formula
gives on a fixed series, so that a model is never fed features that only share a name with those it learned
from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polyscale.dataset.inputs import features_of
from polyscale.dataset.panel import Panel
from polyscale.dataset.scaling import Scaler
from polyscale.dataset.settings import DataSettings
from polyscale.dataset.stretches import ScaledPanel, scale_panel
from polyscale.features.probe import Values, changed, probe
from polyscale.market.errors import RunError
from polyscale.market.settings import Settings
from polyscale.model.network import MultiScaleAttention
from polyscale.model.settings import NetworkSpec

FORMAT = 5  # 5: slopes of the heads; 4: the base's surprises as inputs; 3: attention over levels of means
_WEIGHTS, _FACTS = "model.safetensors", "model.json"


class ModelFacts(Settings):
    """What model.json says."""

    format: int = FORMAT
    spec: NetworkSpec
    data: DataSettings
    feature_scalers: tuple[Scaler | None, ...]  # one per scale, None where it was never warm in training
    origin_scaler: Scaler
    probes: tuple[dict[str, Values], ...]  # per scale: feature -> its values on a fixed series

    def scale(self, panel: Panel) -> ScaledPanel:
        """What the network reads of a panel: its rows under the frozen scalers."""
        return scale_panel(panel, self.feature_scalers, self.origin_scaler)


@dataclass(frozen=True, eq=False)
class Model:
    """A network with the frozen scalers that feed it."""

    network: MultiScaleAttention
    facts: ModelFacts


def probes(data: DataSettings) -> tuple[dict[str, Values], ...]:
    """What the features of every scale give on a fixed series."""
    return tuple(probe(features_of(data, scale), scale.timeframe) for scale in data.scales)


def save_model(model: Model, folder: Path) -> None:
    """Write both files."""
    weights = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    save_file(weights, folder / _WEIGHTS)
    (folder / _FACTS).write_text(model.facts.model_dump_json(indent=1) + "\n")


def load_model(folder: Path) -> Model:
    """Read both files; the network is in eval mode.

    Raises
    ------
    RunError
        If a file is missing, damaged, of a newer format, or if a feature is unknown here or computed
        otherwise.
    """
    facts = _read_facts(folder / _FACTS)
    network = MultiScaleAttention(facts.spec)
    try:
        network.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise RunError(
            f"{folder / _WEIGHTS}: must hold the weights of model.json ({first}); train again"
        ) from error
    return Model(network.eval(), facts)


def _read_facts(path: Path) -> ModelFacts:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: must be readable JSON ({error}); the run is damaged or was never trained"
        ) from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(found, int) and found != FORMAT:
        remedy = "update polyscale to read it" if found > FORMAT else "train again"
        raise RunError(f"{path}: model format must be {FORMAT}, got {found}; {remedy}")
    try:
        facts = ModelFacts.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(str(part) for part in what["loc"])
        own = (
            "; put your own features into CATALOGUE before"
            if "features must be out of" in what["msg"]
            else ""
        )
        raise RunError(
            f"{path}: {where or 'content'}: {what['msg']}{own}; or the run is damaged, train again"
        ) from error
    counts = {len(facts.data.scales), len(facts.probes), len(facts.feature_scalers)}
    if len(counts) > 1:
        raise RunError(
            f"{path}: must hold probes and scalers of every scale; the run is damaged, train again"
        )
    moved = [
        f"{name} ({scale.name})"
        for scale, then, now in zip(facts.data.scales, facts.probes, probes(facts.data), strict=True)
        for name in changed(then, now)
    ]
    if moved:
        raise RunError(f"{path}: made with other formulas of the features {moved}; train again")
    return facts
