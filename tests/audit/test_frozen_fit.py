import numpy as np
import polars as pl
import pytest

from polyscale.audit import check_frozen_fit
from polyscale.market.errors import DataError
from tests.audit.market import five_minutes, found, funding_of

BARS = five_minutes()
FUNDING = funding_of(BARS)
END = BARS["close_time"][1_500]


def train(bars, time="close_time"):
    return bars.filter(pl.col(time) <= END)


def test_a_fit_on_training_rows_is_clean():
    def fit(bars, funding):
        rows, rates = train(bars), train(funding, "time")
        return {
            "mean": rows["close"].mean(),
            "weights": rows.select("open", "close").to_numpy().std(axis=0),
            "rate": {"mean": rates["funding_rate"].mean()},
            "kind": "plain",
        }

    audit = check_frozen_fit(fit, BARS, END, {"funding": FUNDING})
    assert audit.clean
    assert [scope.rows for scope in audit.tests if scope.test.startswith("poison")] == [1, 1, 1]


def test_a_fit_on_everything_is_found_in_each_number():
    def fit(bars):
        return {"close": bars["close"].mean(), "range": bars.select("low", "high").to_numpy().mean(axis=0)}

    audit = check_frozen_fit(fit, BARS, END)
    assert found(audit, "close").source == "bars.close"
    assert found(audit, "range[0]").source == "bars.low"
    assert found(audit, "range[1]").row == END
    assert str(found(audit, "range[1]").reach) == "to the end of the data"


def test_a_fit_that_sees_one_bar_too_many_is_found():
    leak = found(check_frozen_fit(lambda bars: {"last": bars["close"][1_501]}, BARS, END), "last")
    assert (leak.source, leak.reach.bars) == ("bars.close", 1)


def test_a_rate_that_is_not_known_at_the_end_of_training_is_found():
    def fit(bars, funding):
        return {"rate": funding["funding_rate"].max() + train(bars)["close"].mean()}

    assert (
        found(check_frozen_fit(fit, BARS, END, {"funding": FUNDING}), "rate").source == "funding.funding_rate"
    )


def test_a_split_by_share_of_the_rows_is_no_leak():
    assert check_frozen_fit(
        lambda bars: {"x": bars.head(int(0.6 * bars.height))["close"].mean()}, BARS, END
    ).clean


def test_times_without_a_zone_are_utc():
    pandas_bars = BARS.to_pandas().set_index("close_time").tz_localize(None)
    naive = END.replace(tzinfo=None)
    assert check_frozen_fit(
        lambda bars: {"x": np.float64(bars.loc[:naive, "close"].mean())}, pandas_bars, naive
    ).clean


@pytest.mark.parametrize("end", [BARS["close_time"][-1], BARS["close_time"][0].replace(year=2020)])
def test_an_end_of_training_with_nothing_beside_it_is_an_error(end):
    with pytest.raises(DataError, match="train_end must have bars on both sides, got"):
        check_frozen_fit(lambda bars: {"x": 1.0}, BARS, end)


@pytest.mark.parametrize("given", [3.0, {}, None])
def test_a_fit_that_gives_nothing_by_name_is_an_error(given):
    with pytest.raises(DataError, match="must give what it fitted by name"):
        check_frozen_fit(lambda bars: given, BARS, END)


def test_unsorted_bars_are_all_that_is_found():
    audit = check_frozen_fit(lambda bars: {"x": 1.0}, BARS.reverse(), END)
    assert [finding.test for finding in audit.findings] == ["times in"]


def test_a_fit_that_refuses_every_wrecked_future_is_not_called_clean():
    def strict(bars):
        if bars["close"].is_nan().any() or bars["close"].pct_change().abs().max() > 0.05:
            raise ValueError("odd prices")
        return {"mean": bars["close"].mean()}

    with pytest.raises(DataError, match=r"must run beside a wrecked future at least once.*refused 1 time"):
        check_frozen_fit(strict, BARS, BARS["close_time"][1_000])
