"""The chapter's features: its sixteen less two twins, on coins of any price; and what bars cannot tell."""

from pathlib import Path

import numpy as np
import polars as pl

from polyscale.features.catalogue import CATALOGUE, CHAPTER
from polyscale.features.feature import select
from polyscale.market.timeframe import Timeframe

DOCS = Path(__file__).parents[2] / "docs"
M15 = Timeframe(15)


def test_the_chapters_columns_are_there_once_each_without_its_twins():
    averages = [f"ma_{n}_ratio" for n in (5, 10, 20, 50)]
    assert set(CHAPTER) == {
        *("log_return", "return_5", "return_10", "volatility_5", "volatility_20"),
        *("volume_ratio", "volume_change", "high_low_ratio", "close_position", *averages, "rsi"),
    }
    assert len(set(CHAPTER)) == len(CHAPTER)
    assert not {"return_1", "rsi_normalized"} & set(CATALOGUE)


def test_no_two_of_them_say_the_same(bars):
    values = select(CHAPTER, CATALOGUE).compute(bars, M15)
    rows = values.drop("close_time").drop_nulls().to_numpy()
    likeness = np.abs(np.corrcoef(rows.T)) - np.eye(rows.shape[1])
    assert len(rows) > 1_000
    assert likeness.max() < 0.99


def test_a_coin_of_a_hundred_thousandth_has_the_rsi_of_a_dear_one(bars):
    names = ["rsi", "rsi_simple", "close_position"]
    prices = [pl.col(name) * (1e-5 / bars["close"][0]) for name in ("open", "high", "low", "close")]
    cheap = select(names, CATALOGUE).compute(bars.with_columns(*prices), M15).drop_nulls()
    dear = select(names, CATALOGUE).compute(bars, M15).drop_nulls()
    for name in names:
        np.testing.assert_allclose(cheap[name], dear[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_the_documentation_says_that_candles_hold_no_order_flow():
    for page in ("features.md", "chapter.md"):
        text = " ".join((DOCS / page).read_text(encoding="utf-8").lower().split())
        assert "order flow and microstructure cannot come from candles" in text, page
    assert not any("order_flow" in name or "microstructure" in name for name in CATALOGUE)
