"""The page about leaks tells what is measured and what is said: nothing on it is made up."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polyscale.audit.museum import MUSEUM, joins, whole_series, windows
from polyscale.market.simulate import SimulationSettings, simulate_bars
from polyscale.market.timeframe import Timeframe

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "leaks.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
BARS = simulate_bars(SimulationSettings(days=60, kind="random_walk", seed=1))
HOURS = simulate_bars(SimulationSettings(days=60, kind="random_walk", seed=1, timeframe=Timeframe(60))).head(
    1_000
)


def in_logs(stage):
    return lambda bars: stage(bars).with_columns(pl.col("smooth").exp())


def all_modes(bars):
    rows = whole_series.modes_of_the_whole(bars)
    return rows.select("close_time", sum=pl.sum_horizontal(pl.exclude("close_time")).exp())


LEVELS = {  # a price that was smoothed or joined: how far it is from the close; stages, bars ahead
    "Hour joined by its label": ((joins.hour_by_label, joins.hour_by_its_close), 12),
    "Backward fill": ((joins.day_filled_backward, joins.day_filled_forward), 288),
    "Centred window": ((windows.smoothed_about_the_row, windows.smoothed_up_to_the_row), 5),
    "Wavelet of the whole series": (
        (in_logs(whole_series.denoised_as_a_whole), in_logs(whole_series.denoised_in_trailing_windows)),
        1,
    ),
}
SIGNALS = {
    "Shift by minus one": ((windows.return_of_the_next_bar, windows.return_of_the_last_bar), 1),
    "Scaled with the horizon inside": (
        (windows.scaled_with_the_horizon, windows.scaled_without_the_horizon),
        12,
    ),
    "Target under another name": (
        (windows.momentum_that_is_the_target, windows.momentum_of_the_last_hour),
        12,
    ),
    "Rank over the whole sample": ((whole_series.rank_in_the_sample, whole_series.rank_in_the_past_day), 288),
}


def information(stage, bars, ahead, *, level):
    """Correlation of a stage's only column with the log return that follows."""
    both = bars.select("close_time", "close").join(stage(bars), on="close_time", how="left")
    log_close = np.log(both["close"].to_numpy())
    signal = both.to_series(2).cast(pl.Float64).to_numpy()
    signal = np.log(signal) - log_close if level else signal
    following = np.append(log_close[ahead:], np.full(ahead, np.nan)) - log_close
    known = np.isfinite(signal) & np.isfinite(following)
    return np.corrcoef(signal[known], following[known])[0, 1]


def shown(number):
    return f"{number:.2f}".replace("-", "−")


@pytest.mark.parametrize("exhibit", MUSEUM, ids=lambda exhibit: exhibit.name)
def test_the_page_quotes_the_audit(exhibit):
    section = SECTIONS[exhibit.name[0].upper() + exhibit.name[1:]]
    assert f"> {exhibit.run().findings[0]}\n" in section


def test_the_page_shows_the_museum_and_nothing_else():
    assert [name.lower() for name in SECTIONS] == [exhibit.name.lower() for exhibit in MUSEUM]


@pytest.mark.parametrize("name", [*LEVELS, *SIGNALS])
def test_what_a_leak_pretended_is_measured(name):
    stages, ahead = (LEVELS | SIGNALS)[name]
    leak, repair = (information(stage, BARS, ahead, level=name in LEVELS) for stage in stages)
    text = " ".join(SECTIONS[name].split())
    assert f"**IC {shown(leak)}**" in text
    assert f"repaired {shown(repair)}" in text
    assert abs(leak) > 1.9 * abs(repair)


def test_what_vmd_pretended_is_measured():
    leak = information(all_modes, HOURS, 1, level=True)
    assert f"**IC {shown(leak)}**" in SECTIONS["VMD of the whole series"]


def test_local_midnight_knows_the_price_of_five_hours_later():
    rows = BARS.join(joins.day_by_local_date(BARS), on="close_time")
    rows = rows.with_columns(later=pl.col("close").shift(-60))
    midnight = pl.col("close_time").dt.truncate("1d") == pl.col("close_time")
    known = rows.filter(midnight).drop_nulls()
    assert known.height > 50
    assert known["day_close"].equals(known["later"])
