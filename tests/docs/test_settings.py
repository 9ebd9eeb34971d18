"""Every YAML block of the documentation parses, and as a part of a run's config it is accepted."""

from copy import deepcopy

import pytest
import yaml

from polyscale.config.run_config import RunConfig, parse_config
from polyscale.pipeline.search_space import parse_space
from tests.docs.desk import SMALL, SMALL_WALK, SYMBOLS
from tests.docs.fences import all_fences

WHOLE = SMALL | {
    "market": {"symbols": list(SYMBOLS)},
    "walk_forward": SMALL_WALK,
    "backtest": {"fee_bps": 5.5, "slippage_bps": 1.0, "assumed_funding_8h": 0.0001},
}


def merged(whole, part):
    """A mapping with the values of another in place of its own, level by level."""
    both = deepcopy(whole)
    for key, value in part.items():
        both[key] = (
            merged(both[key], value) if isinstance(both.get(key), dict) and isinstance(value, dict) else value
        )
    return both


def config_with(part):
    """A small config with a part of another: an encoder per scale, its own split and folds."""
    own = {"split": {}} if "split" in part else {}
    both = merged(WHOLE | own, part)
    if "encoders" not in part.get("network", {}):
        both["network"]["encoders"] = [{"layers": 1, "heads": 2}] * len(both["data"]["scales"])
    if both["network"].get("across_symbols") or "simulation" in both["market"]:
        both["walk_forward"].pop("leave_out", None)
    return yaml.safe_dump(both)


@pytest.mark.parametrize("fence", all_fences("yaml"), ids=lambda fence: fence.where)
def test_settings_shown_are_accepted(fence):
    part = yaml.safe_load(fence.text)
    assert isinstance(part, dict), f"{fence.where}: must be keys and values"
    if set(part) <= set(RunConfig.model_fields):
        parse_config(config_with(part), fence.where)
        return
    parse_space(fence.text, fence.where, parse_config(yaml.safe_dump(WHOLE), "small"), "val_loss")
