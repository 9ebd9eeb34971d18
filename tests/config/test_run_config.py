from pathlib import Path

import pytest
import yaml

from polyscale.config.presets import preset
from polyscale.config.run_config import parse_config, read_config
from polyscale.market.errors import ConfigError
from polyscale.market.timeframe import Timeframe

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEMO = (CONFIGS / "demo.yaml").read_text()


def changed(**parts):
    raw = yaml.safe_load(DEMO)
    for path, value in parts.items():
        *places, last = path.split("__")
        target = raw
        for place in places:
            target = target[int(place) if place.isdigit() else place]
        target[int(last) if last.isdigit() else last] = value
    return yaml.safe_dump(raw)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_is_shipped_is_good_and_reads_back(path):
    config = read_config(path)
    assert parse_config(config.to_yaml(), "again") == config
    assert preset(path.stem) == path


def test_the_shipped_configs_are_those_that_the_chapter_and_the_readme_name():
    full = read_config(CONFIGS / "full.yaml")
    table = [
        (str(s.timeframe), s.lookback, e.layers, e.heads)
        for s, e in zip(full.data.scales, full.network.encoders, strict=True)
    ]
    assert table == [("1m", 1440, 2, 4), ("5m", 288, 3, 8), ("1h", 168, 4, 8), ("1d", 252, 4, 8)]
    default = read_config(CONFIGS / "default.yaml")
    assert [str(s.timeframe) for s in default.data.scales] == ["1m", "5m", "15m", "1h", "4h"]
    assert default.data.horizons == (Timeframe(5), Timeframe(60), Timeframe(1_440))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            changed(training__lerning_rate=0.1),
            r"training.lerning_rate: unknown key; did you mean 'learning_rate'\?",
        ),
        (changed(data__scales__0__lokback=3), r"scales\[0\].lokback: unknown key; did you mean 'lookback'\?"),
        (changed(zzz=1), "zzz: unknown key; known keys: name, market"),
        (changed(market__simulation__colour=1), "market.simulation.colour: unknown key; known keys: kind"),
        (
            changed(data__scales__1__lookback=0),
            r"data.scales\[1\].lookback: must be greater than or equal to 1, got 0",
        ),
        (changed(data__horizons=["1x"]), "timeframe must be a number and a unit"),
        (changed(training__learning_rate=float("nan")), "training.learning_rate"),
        (
            changed(network__encoders=[{"layers": 1, "heads": 4}]),
            r"network.encoders must be one per scale \(3\), got 1",
        ),
        (changed(network__d_model=33), "must divide d_model"),
        (
            changed(strategy__horizon="2h"),
            r"strategy.horizon must be one of data.horizons \['1h', '4h', '1d'\], got 2h",
        ),
        (changed(market__source="store"), "simulation must be given with source: simulated"),
        (changed(split={"train_share": 0.9, "validate_share": 0.1}), "must be < 1 to leave a test"),
        (changed(split={"train_until": "2025-02-01", "validate_until": "2025-01-01"}), "dates must rise"),
        (changed(levels=[0.9, 0.5]), "levels must rise"),
        (changed(backtest__fee_bps=-1), "backtest.fee_bps: must be greater than or equal to 0, got -1"),
        (changed(backtest={"fee_bps": 1}), "backtest.slippage_bps: must be given"),
        ("[1, 2]", "config must be a mapping of keys to values, got list"),
        ("a: [", "config must be YAML"),
    ],
)
def test_a_bad_config_is_told_with_place_rule_value_and_remedy(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(text, "x.yaml")


def test_a_config_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nope.yaml: config must be a readable YAML file"):
        read_config(tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match="preset must be one of"):
        preset("nope")


@pytest.mark.parametrize("name", ["validate_days", "window_days"])
def test_a_part_of_a_fold_is_longer_than_the_longest_horizon(name):
    longest = yaml.safe_load(DEMO)["data"]["horizons"][-1]
    days = Timeframe.parse(longest).minutes // 1_440
    walk = {"first": "2025-03-01", "last": "2025-03-05", name: max(days, 1)}
    if days:
        words = (
            rf"walk_forward.{name} must be more than the longest of data.horizons \({longest}\), got {days}"
        )
        with pytest.raises(ConfigError, match=f"{words}; give at least {days + 1}"):
            parse_config(changed(walk_forward=walk), "t")
    assert parse_config(changed(walk_forward={**walk, name: days + 1}), "t").walk_forward is not None
