"""What the pages say of measured figures: a template per piece of text (see `tests/docs/figures.py`).

Who changes a page changes its templates with it. A table row is one template, so that each of its numbers is
either held against a file or stands here as text. Templates are parted by empty lines.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """A figure in words: the phrase stands on the page, and the figure lies in the range that it may mean."""

    page: str
    phrase: str
    key: str
    least: float
    most: float


README = """
| 1h | {btc.1h.network:.3f} | {btc.1h.base:.3f} | {btc.1h.log_har:.3f} | {btc.1h.change_percent:.1f} %,
difference {btc.1h.difference.mean:.3f} [{btc.1h.difference.low:.3f}, {btc.1h.difference.high:.3f}] |
{seeds.BTCUSDT.1h.least:.2f} .. {seeds.BTCUSDT.1h.most:.2f} | {seeds.ETHUSDT.1h.least:.2f} ..
{seeds.ETHUSDT.1h.most:.2f} |

| 4h | {btc.4h.network:.3f} | {btc.4h.base:.3f} | {btc.4h.log_har:.3f} | {btc.4h.change_percent:.1f} %,
difference {btc.4h.difference.mean:.3f} [{btc.4h.difference.low:.3f}, {btc.4h.difference.high:.3f}] |
{seeds.BTCUSDT.4h.least:.2f} .. {seeds.BTCUSDT.4h.most:.2f} | {seeds.ETHUSDT.4h.least:.2f} ..
{seeds.ETHUSDT.4h.most:.2f} |

| 1d | {btc.1d.network:.3f} | {btc.1d.base:.3f} | {btc.1d.log_har:.3f} | {btc.1d.change_percent:.1f} %, no
claim: {btc.1d.independent_labels:d} independent labels | {seeds.BTCUSDT.1d.least:.2f} ..
{seeds.BTCUSDT.1d.most:.2f} | {seeds.ETHUSDT.1d.least:.2f} .. {seeds.ETHUSDT.1d.most:.2f} |

| base: BTC, ETH | {walk_forward.symbols.BTCUSDT.1h:.3f}, {walk_forward.symbols.ETHUSDT.1h:.3f} |
{walk_forward.symbols.BTCUSDT.4h:.3f}, {walk_forward.symbols.ETHUSDT.4h:.3f} |
{walk_forward.symbols.BTCUSDT.1d:.3f}, {walk_forward.symbols.ETHUSDT.1d:.3f} |

| base, mean over five symbols | {walk_forward.mean.1h.base.qlike:.3f} |
{walk_forward.mean.4h.base.qlike:.3f} | {walk_forward.mean.1d.base.qlike:.3f} |

(SOL, BNB, ADA in turn, one seed) | {left_out.mean.1h:.3f} | {left_out.mean.4h:.3f} |
{left_out.mean.1d:.3f} |

| log-HAR | {walk_forward.mean.1h.log_har.qlike:.3f} | {walk_forward.mean.4h.log_har.qlike:.3f} |
{walk_forward.mean.1d.log_har.qlike:.3f} |

| ridge on the same inputs | {walk_forward.mean.1h.ridge.qlike:.3f} |
{walk_forward.mean.4h.ridge.qlike:.3f} | {walk_forward.mean.1d.ridge.qlike:.3f} |

| LightGBM on the same inputs | {walk_forward.mean.1h.lightgbm.qlike:.3f} |
{walk_forward.mean.4h.lightgbm.qlike:.3f} | {walk_forward.mean.1d.lightgbm.qlike:.3f} |

| LSTM; transformer over the finest scale | {walk_forward.mean.1h.lstm.qlike:.3f};
{walk_forward.mean.1h.transformer.qlike:.3f} | {walk_forward.mean.4h.lstm.qlike:.3f};
{walk_forward.mean.4h.transformer.qlike:.3f} | {walk_forward.mean.1d.lstm.qlike:.3f};
{walk_forward.mean.1d.transformer.qlike:.3f} |

their pinball losses and CRPS are {walk_forward.losses_of_learned_rivals_percent_higher.least:.1f} to
{walk_forward.losses_of_learned_rivals_percent_higher.most:.1f} % higher at 1h and 4h

{train.parameters/1000000:.1f} million parameters

| training, forecast origins a second | {train.origins_per_second:3s}, in {train.peak_mb/1000:.1f} GB;
{train.origins_per_second_bf16:3s} with `training.precision: bf16` | `train` |

at its best batch | {train.windows_per_second:.1f}: {train.ratio:2s} times fewer; without its dropout
{train.windows_per_second_without_dropout:.1f} | `train` |

lookback 1,440, one series | {train.patchtst_per_second:d} and {train.lstm_per_second:d}:
{train.ratio_patchtst:.0f} and {train.ratio_lstm:.0f} times fewer | `train` |

planted market | {learn.seconds:.0f} s against {learn.plain_seconds:,.0f} s | `learn` |

| a year of one-minute bars scored, {infer.origins:,d} origins | {infer.seconds:.1f} s | `infer` |

at midnight, when all scales have a new bar | {stream.p50_ms:.1f} ms, {stream.p99_ms:.1f} ms;
{stream.midnight_ms:.1f} ms | `stream` |

their state | {stream.batch200_ms:.0f} ms; {stream.state_mb:.0f} MB | `stream` |

when the lookback grows fourfold | {lookback.growth_per_4x:.2f} times | `lookback` |

{audit.cuts:d} cuts of {audit.bars:,d} bars

`python -m benchmarks backtest`: {backtest.bars:,d} bars in {backtest.seconds/0.001:.1f} ms

{backtest.ratio_backtesting:2s} times than backtesting.py

a year of one market in {store.fetch_seconds:.0f} s from a server on the same machine

under a minute and {run.peak_mb/1000:.1f} GB on two cores

five scales of a year of one-minute bars in {features.runs.seconds_least/0.001:.0f} to
{features.runs.seconds_most/0.001:.0f} ms

the catalogue's {catalogue.features:d} on a million bars and four scales

VMD of a trailing window at every one of {vmd.windows:,d} bars
"""

BENCHMARKS = """
five scales, {features.bars:,d} one-minute bars, two cores | {features.seconds:.4f} s,
{features.peak_mb:d} MB on top of the bars | the chapter's pandas code {features.seconds_pandas:.4f} s,
{features.peak_mb_pandas:d} MB: {features.ratio:.1f} times; by medians {features.ratio_of_medians:.1f} |

| `catalogue` | {catalogue.features:d} features, {catalogue.bars:,d} bars, four scales |
{catalogue.seconds:.2f} s, {catalogue.peak_mb:,d} MB of the whole process | nothing |

| `vmd` | VMD of a trailing window of 256 at {vmd.windows:,d} bars, two cores |
{vmd.seconds_all_windows:.2f} s | vmdpy, {vmd.sampled:d} of these windows: {vmd.ratio:.0f} times on two
cores, {vmd.ratio_one_core:.0f} on one |

the ratio was {features.runs.ratio_least:.1f} to {features.runs.ratio_most:.1f} by best times and
{features.runs.ratio_of_medians_least:.1f} to {features.runs.ratio_of_medians_most:.1f} by medians

vmdpy needs {vmd.vmdpy_ms_per_window:.1f} ms a window

with the start of the command | {store.fetch_seconds:.1f} s, {store.peak_mb:d} MB |

no page is asked for | {store.refetch_seconds:.2f} s |

warm | {store.read_rows_per_second/1000000:.1f} million rows a second |

answers a page of 1,000 candles | {replay.page_ms:.1f} ms |

| a day of pushes of fifty symbols: {replay.pushes:,d} messages | {replay.day_seconds:.1f} s |

the interpreter's own start taken off | {startup.import_ms:.0f} ms |

(PyTorch and Lightning are loaded) | {startup.load_run_seconds:.1f} s |

{train.parameters/1000000:.1f} million parameters), one thread

in training | {train.origins_per_second:,d} | textbook network on windows, best batch:
{train.windows_per_second:.1f} | {train.ratio:,d} |

peer without its dropout | {train.origins_per_second:,d} | {train.windows_per_second_without_dropout:.1f}
| {train.ratio_without_dropout:,d} |

`training.precision: bf16` | {train.origins_per_second_bf16:,d} | | |

neuralforecast's PatchTST, lookback 1,440, one series | {train.origins_per_second:,d} |
{train.patchtst_per_second:d} | {train.ratio_patchtst:d} |

neuralforecast's LSTM, lookback 1,440, one series | {train.origins_per_second:,d} |
{train.lstm_per_second:d} | {train.ratio_lstm:d} |

planted market | {learn.seconds:d} | {learn.plain_seconds:,d} | {learn.times:.0f} |

scored, {infer.origins:,d} origins | {infer.seconds:.1f} s | | |

at midnight | {stream.p50_ms:.2f} ms, {stream.p99_ms:.2f} ms; {stream.midnight_ms:.1f} ms | | |

the worst | {stream.batch200_ms:.1f} ms; {stream.batch200_worst_ms:d} ms | | |

state of 200 symbols; of one | {stream.state_mb:d} MB; {stream.state_mb_per_symbol:.1f} MB | | |

lookback times four | {lookback.growth_per_4x:.2f} times | | |

a training step on 8,192 origins is {train.peak_mb:,d} MB

`backtest`: {backtest.bars:,d} five-minute bars of one symbol, {backtest.fills:,d} fills

| vectorbt | {backtest.ratio_vectorbt:.1f} |

| backtesting.py | {backtest.ratio_backtesting:d} |

| a textbook's loop over pandas rows | {backtest.ratio_loop:,d} |

polyscale takes {backtest.seconds/0.001:.1f} ms, {backtest.seconds_with_doors/0.001:.0f} ms with the
checks

over 100,000 bars take {backtest.grid_seconds:.1f} s

two runs gave {features.busy.ratio_least:.1f} and {features.busy.ratio_most:.1f}

say {features.runs.seconds_most/0.001:.0f} ms and eight times

short audit included, two cores (`run.json`) | {run.seconds:d} s, {run.peak_mb:,d} MB |

such a run, {audit.cuts:d} cuts of {audit.bars:,d} bars (`audit.json`) | {audit.seconds:.1f} s,
nothing found |

when the network had {train.parameters:,d} parameters

as it comes (direct) it has {forecasters.lstm_direct.1h:.3f}, {forecasters.lstm_direct.4h:.3f} and
{forecasters.lstm_direct.1d:.3f}

The {train.ratio_patchtst:d} for PatchTST is 300 within noise

| scales | {stages.scales:.2f} |

| features, all scales | {stages.features:.2f} |

| targets | {stages.targets:.2f} |

| the base forecast, first call | {stages.base_forecast:.2f} |

| reference log-HAR | {stages.reference_log_har:.2f} |

| the panel: all of these in one call | {stages.panel_all_of_these:.2f} |

| training, one epoch of 68,861 origins | {stages.training:.2f} |

| forecasts at 98,785 origins | {stages.forecasts:.2f} |

Peak memory of all is {stages.peak_mb:d} MB
"""

WAVELET = "| NAME | {wavelet.NAME.reach:,d} | {wavelet.NAME.seconds:.4f} | {wavelet.NAME.seconds_swt:.4f} |"
LOSSES = "| LABEL | {forecasters.NAME.1h:.3f} | {forecasters.NAME.4h:.3f} | {forecasters.NAME.1d:.3f} |"
COSTS = "{forecasters.NAME.seconds:.0f} | {forecasters.NAME.peak_mb:,d} | {forecasters.NAME.parameters:,d} |"
NETWORKS = {
    "multi-scale (`configs/btc_5m.yaml`)": "multi_scale",
    "LSTM": "lstm",
    "Transformer": "transformer",
    "TFT": "tft",
}
SIMPLE = {"base forecast": "base", "log-HAR": "log_har", "last value": "last_value"}

TRADING = """
`python -m benchmarks backtest`, one shared core of two, {backtest.bars:,d} five-minute bars of one symbol

| polyscale | {backtest.seconds/0.001:.1f} ms: {backtest.bars_per_second/1000000:.0f} million bars a
second | |

| polyscale, with the checks of bars and funding | {backtest.seconds_with_doors/0.001:.0f} ms | |

| vectorbt (`from_signals`, without funding) | {backtest.seconds_vectorbt/0.001:.0f} ms |
{backtest.ratio_vectorbt:.0f} |

| backtesting.py (without funding) | {backtest.seconds_backtesting:.1f} s |
{backtest.ratio_backtesting:2s} |

| a textbook's loop over pandas rows | {backtest.seconds_loop:.1f} s | {backtest.ratio_loop:2s} |

from the forecast to returns by day, two threads | {backtest.grid_seconds:.1f} s | |
"""

CHAPTER = """
neuralforecast's reads 1,440 bars at {train.lstm_per_second:d} windows a second

true: {train.windows_per_second:.1f} windows a second at the chapter's table

here O(log L) a row: {train.origins_per_second:3s} origins a second

training {train.ratio:2s} times faster than on windows

the cost per origin is {lookback.growth_per_4x:.2f} times

It trains at {train.origins_per_second:3s} origins a second in {train.peak_mb/1000:.1f} GB on one core
(`train`), scores a year of minutes in {infer.seconds:.0f} s (`infer`) and takes a new bar in
{stream.p50_ms:.1f} ms (`stream`)

five scales of a year of minutes take {features.runs.seconds_most/0.001:.0f} ms

a year of minutes in {store.fetch_seconds:.0f} s from a server on the same machine

1,000 sets of rules over 100,000 bars in {backtest.grid_seconds:.1f} s

{backtest.bars:,d} bars in {backtest.seconds/0.001:.1f} ms (`backtest`)

{train.origins_per_second_checkpointing:,d} origins a second with it

{stream.state_mb_per_symbol:.1f} MB a symbol | {stream.p50_ms:.1f} ms a bar; 200 symbols in
{stream.batch200_ms:.0f} ms

{vmd.vmdpy_ms_per_window:.1f} ms a window against {vmd.us_per_window_one_core:.0f} µs

{walk_forward.mean.1h.lstm.qlike:.3f} / {walk_forward.mean.4h.lstm.qlike:.3f} /
{walk_forward.mean.1d.lstm.qlike:.3f} of an LSTM's and {walk_forward.mean.1h.transformer.qlike:.3f} /
{walk_forward.mean.4h.transformer.qlike:.3f} / {walk_forward.mean.1d.transformer.qlike:.3f} of a
transformer's

| multi-scale, `configs/btc_5m.yaml` | {forecasters.multi_scale.1h:.3f} / {forecasters.multi_scale.4h:.3f}
/ {forecasters.multi_scale.1d:.3f} | {forecasters.multi_scale.seconds:.0f},
{forecasters.multi_scale.peak_mb:,d} | {forecasters.multi_scale.parameters:,d} |

| LSTM | {forecasters.lstm.1h:.3f} / {forecasters.lstm.4h:.3f} / {forecasters.lstm.1d:.3f} |
{forecasters.lstm.seconds:.0f}, {forecasters.lstm.peak_mb:,d} | {forecasters.lstm.parameters:,d} |

| Transformer | {forecasters.transformer.1h:.3f} / {forecasters.transformer.4h:.3f} /
{forecasters.transformer.1d:.3f} | {forecasters.transformer.seconds:.0f},
{forecasters.transformer.peak_mb:,d} | {forecasters.transformer.parameters:,d} |

| TFT | {forecasters.tft.1h:.3f} / {forecasters.tft.4h:.3f} / {forecasters.tft.1d:.3f} |
{forecasters.tft.seconds:.0f}, {forecasters.tft.peak_mb:,d} | {forecasters.tft.parameters:,d} |

| base forecast, no network | {forecasters.base.1h:.3f} / {forecasters.base.4h:.3f} /
{forecasters.base.1d:.3f} |

| log-HAR | {forecasters.log_har.1h:.3f} / {forecasters.log_har.4h:.3f} / {forecasters.log_har.1d:.3f} |

| last value | {forecasters.last_value.1h:.3f} / {forecasters.last_value.4h:.3f} /
{forecasters.last_value.1d:.3f} |
"""

RELIABILITY = """
missed by at most {walk_forward.coverage_worst_miss.80.1h:.1f} points at 1h,
{walk_forward.coverage_worst_miss.80.4h:.1f} at 4h, {walk_forward.coverage_worst_miss.80.1d:.1f} at 1d

1 % at 1h, {walk_forward.value_at_risk_1_percent_1h.origins:,d} origins:
{walk_forward.value_at_risk_1_percent_1h.expected:.1f} exceptions to be expected; BTC, ETH, SOL, BNB and
ADA had
{walk_forward.value_at_risk_1_percent_1h.BTCUSDT.exceptions:d},
{walk_forward.value_at_risk_1_percent_1h.ETHUSDT.exceptions:d},
{walk_forward.value_at_risk_1_percent_1h.SOLUSDT.exceptions:d},
{walk_forward.value_at_risk_1_percent_1h.BNBUSDT.exceptions:d},
{walk_forward.value_at_risk_1_percent_1h.ADAUSDT.exceptions:d}

{audit.bars:,d} bars of BTC, {audit.cuts:d} cuts
"""


def parted(block: str) -> list[str]:
    """Templates of a block."""
    return [" ".join(each.split()) for each in block.strip().split("\n\n")]


def forecaster(label: str, name: str) -> str:
    """A row of the table of forecasters; only networks have costs."""
    row = f"{LOSSES} {COSTS if label in NETWORKS else '| | |'}"
    return row.replace("LABEL", label).replace("NAME", name)


TEMPLATES = {
    "README.md": parted(README),
    "docs/benchmarks.md": [
        *parted(BENCHMARKS),
        *(WAVELET.replace("NAME", name) for name in ("haar", "db4", "sym8", "db20", "dmey")),
        *(forecaster(label, name) for label, name in (NETWORKS | SIMPLE).items()),
    ],
    "docs/trading.md": parted(TRADING),
    "docs/chapter.md": parted(CHAPTER),
    "docs/reliability.md": parted(RELIABILITY),
}

# Numbers that look measured and are none: versions, settings, names.
NONE = {
    "README.md": (r"Python 3\.11", r"intervals at 98\.3 %, so that the three hold together at 95 %"),
    "docs/benchmarks.md": (r"^Peers: .*\n", r"Python 3\.11, PyTorch 2\.13", r"on PyTorch 2\.13\.0"),
}

WORDS = (
    Words(
        "README.md", "eight to nine times faster than its pandas code", "features.ratio_of_medians", 7.5, 9.5
    ),
    Words("README.md", "on a million bars and four scales in a second", "catalogue.seconds", 0.75, 1.25),
    Words("README.md", "20,000 bars in a quarter of a second", "vmd.seconds_all_windows", 0.2, 0.3),
    Words("README.md", "vmdpy: about three minutes", "vmd.vmdpy_seconds_all_windows", 150, 210),
    Words("README.md", "take a minute and a half and find nothing", "audit.seconds", 75, 105),
    Words("README.md", "take a minute and a half and find nothing", "audit.findings", 0, 0),
    Words(
        "README.md", "Of thirty claims judged together seven are shown", "walk_forward.claims.judged", 30, 30
    ),
    Words("README.md", "Of thirty claims judged together seven are shown", "walk_forward.claims.shown", 7, 7),
    Words("README.md", "eleven times faster than vectorbt", "backtest.ratio_vectorbt", 10.5, 11.5),
    Words("README.md", "in under 400 MB", "store.peak_mb", 0, 400),
    Words("README.md", "under a minute and", "run.seconds", 0, 60),
    Words("docs/benchmarks.md", "ms and eight times", "features.ratio_of_medians", 7.5, 9.5),
    Words("docs/benchmarks.md", "88.6 s, nothing found", "audit.findings", 0, 0),
)
