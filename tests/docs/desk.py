"""The desk at which the documentation's code runs: a folder as a reader has it, everything in it small.

``store/`` holds 45 days of simulated bars of three perpetuals and one spot market, with funding; ``configs/``
the project's configs under their own names with small networks; and there are the files that pages name. An
exchange on this machine has the same bars, and stands behind every address of Bybit.
"""

import shutil
from datetime import UTC, datetime

import numpy as np
import polars as pl
import yaml

from polyscale.exchange import bybit_client
from polyscale.forecast import export
from polyscale.market.bars import FUNDING_SCHEMA, Market
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe
from polyscale.pipeline.api import audit_run, walk_forward
from polyscale.pipeline.walk import evaluate
from polyscale.pipeline.walk.spread import Backend, spread
from polyscale.replay.exchange import ReplayExchange
from polyscale.replay.settings import ReplaySettings
from polyscale.store.store import Store
from tests.docs.fences import ROOT
from tests.docs.lines import run

DAYS = 45
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
NOW_MS = int(FIRST.timestamp() * 1_000) + DAYS * 86_400_000 + 5_000
M1, M5 = Timeframe(1), Timeframe(5)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MARKETS = tuple(Market("bybit", "linear", symbol) for symbol in SYMBOLS)
SPOT = Market("binance", "spot", "BTCUSDT")  # configs/crypto_5m.yaml learns from it

SMALL = {
    "data": {
        "scales": [{"timeframe": "5m", "lookback": 16}, {"timeframe": "1h", "lookback": 8}],
        "horizons": ["1h", "4h", "1d"],
        "base_forecast": {"window_days": 15, "min_days": 5},
    },
    "split": {"train_share": 0.6, "validate_share": 0.2},
    "network": {"d_model": 8, "cross_heads": 2, "encoders": [{"layers": 1, "heads": 2}] * 2},
    "training": {"epochs": 1, "stretch": 512, "learning_rate": 0.01},
    "evaluation": {"num_bootstrap": 200, "num_random": 100},
}
SMALL_WALK = {"first": "2025-02-01", "last": "2025-02-10", "refit": "month", "validate_days": 5, "seeds": 1}


def bars_of(seed, timeframe=M5):
    """Bars with few decimals, as an exchange has them."""
    bars = simulate_bars(SimulationSettings(days=DAYS, timeframe=timeframe, seed=seed))
    prices = [pl.col(name).round(2) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, pl.col("volume").round(3), pl.col("turnover").round(4))


def funding_of(seed):
    """Rates every eight hours."""
    num = DAYS * 3
    times = np.arange(1, num) * 28_800_000 + int(FIRST.timestamp() * 1_000)
    rates = np.random.default_rng(seed).normal(1e-4, 5e-5, num - 1).round(8)
    frame = pl.DataFrame({"time": times, "funding_rate": rates})
    return frame.select(pl.col(name).cast(kind) for name, kind in FUNDING_SCHEMA.items())


def small_config(path):
    """The text of a config with its sizes and dates made small; what it says of trading stays."""
    config = yaml.safe_load(path.read_text()) | SMALL
    market = config["market"]
    if "simulation" in market:
        market["simulation"] |= {"days": DAYS}
    else:
        market["symbols"] = [symbol for symbol in market["symbols"] if symbol in SYMBOLS]
    if "learn_from" in market:
        market["learn_from"] = [{"venue": SPOT.venue, "category": SPOT.category, "symbols": [SPOT.symbol]}]
    if "walk_forward" in config:
        config["walk_forward"] = SMALL_WALK
    return yaml.safe_dump(config, sort_keys=False)


def lay(folder):
    """Put everything into a folder."""
    store = Store(folder / "store")
    for seed, market in enumerate(MARKETS):
        store.write_bars(market, M5, bars_of(seed))
        store.write_funding(market, funding_of(seed))
    store.write_bars(SPOT, M5, bars_of(9))
    (folder / "configs").mkdir()
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        (folder / "configs" / path.name).write_text(small_config(path))
    bars = bars_of(0)
    opens = bars.select(open_time=pl.col("close_time") - pl.duration(minutes=5)).to_series()
    bars.drop("close_time").insert_column(0, opens).write_parquet(folder / "btc_5m.parquet")
    (folder / "my_features.py").write_text(MY_FEATURES)


MY_FEATURES = '''"""A function from bars to rows, as `polyscale audit --stage` takes one."""

import polars as pl


def rows(bars):
    return bars.select("close_time", mean=pl.col("close").rolling_mean(12))
'''


def train():
    """Make the run that pages call 'last', where they do not make it themselves."""
    status, said = run(["run", "--config", "configs/btc_5m.yaml"])
    assert status == 0, said


def copy(laid, folder):
    """A folder of one's own with the same in it."""
    shutil.copytree(laid, folder, dirs_exist_ok=True)
    return folder


def exchange():
    """The exchange, just after the last bar closed; of the first market it has bars of a minute as well."""
    bars = {(market, M5): bars_of(seed) for seed, market in enumerate(MARKETS)}
    return ReplayExchange(
        bars=bars | {(MARKETS[0], M1): bars_of(0, M1)},
        funding={market: funding_of(seed) for seed, market in enumerate(MARKETS)},
        start_ms=NOW_MS,
        settings=ReplaySettings(limited=False),
    )


def sit(monkeypatch, folder, url):
    """Work in the folder; the exchange at the address is Bybit; what is dear is made small."""
    monkeypatch.chdir(folder)
    monkeypatch.setitem(bybit_client.KNOWN_VENUES, url, "bybit")
    monkeypatch.setenv("POLYSCALE_BYBIT_URL", url)
    monkeypatch.setitem(audit_run.__kwdefaults__, "cuts", 2)
    monkeypatch.setitem(walk_forward.__kwdefaults__, "baselines", ["base"])
    monkeypatch.setattr(evaluate, "spread", in_this_process)
    monkeypatch.setattr(export, "export_graph", unwritten)


def in_this_process(function, tasks, jobs, backend):
    """Tasks one after the other: processes of joblib and Ray are tested in `tests/pipeline`."""
    yield from spread(function, tasks, 1, Backend.LOCAL)


def unwritten(graph, path):
    """No graph: to trace one takes ten seconds, and `tests/forecast/test_export.py` does it."""
    path.write_bytes(b"")
