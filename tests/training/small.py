"""A small network on simulated bars: what the tests of training share."""

from polyscale.dataset.panel import build_panel, num_origin_inputs
from polyscale.dataset.scaling import fit_scaler
from polyscale.dataset.settings import DataSettings, SplitSettings
from polyscale.dataset.split import boundaries, split
from polyscale.model.settings import EncoderSettings, NetworkSettings, NetworkSpec
from polyscale.training.batches import Part
from polyscale.training.model_file import ModelFacts, probes
from polyscale.training.settings import TrainingSettings

DATA = DataSettings(
    scales=[{"timeframe": "15m", "lookback": 16}, {"timeframe": "1h", "lookback": 8}],
    horizons=["1h", "4h"],
    features=("scaled_return_1", "relative_move", "close_position"),
    base_forecast={"window_days": 15, "min_days": 5},
)
LEVELS = (0.1, 0.5, 0.9)
SETTINGS = TrainingSettings(epochs=3, stretch=128, stretches_per_batch=2, level_noise=0.1)


def prepare(bars):
    """(panel, split, facts) of the bars."""
    panel = build_panel("X", bars, DATA)
    parts = split(panel, boundaries([panel], SplitSettings(train_share=0.6, validate_share=0.2)))
    scalers = tuple(fit_scaler([rows]) for rows in panel.features)
    facts = ModelFacts(
        spec=NetworkSpec(
            settings=NetworkSettings(
                d_model=8, encoders=(EncoderSettings(heads=2, layers=1),) * 2, cross_heads=2
            ),
            scales=("15m", "1h"),
            lookbacks=(16, 8),
            features=(DATA.features,) * 2,
            num_origin_inputs=num_origin_inputs(DATA),
            horizons=("1h", "4h"),
            levels=LEVELS,
        ),
        data=DATA,
        feature_scalers=scalers,
        origin_scaler=fit_scaler([panel.origin]),
        probes=probes(DATA),
    )
    return panel, parts, facts


def parts_of(prepared):
    panel, parts, facts = prepared
    scaled = facts.scale(panel)
    return Part([scaled], [parts.train], DATA), Part([scaled], [parts.validate], DATA)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}
