import pytest

from polyscale.report.section import Table
from polyscale.report.wording import about


@pytest.mark.parametrize(
    "cell",
    [
        "66,243 – 67,645", "49.1 %", "0.3561 [0.3023, 0.4202]", "< 0.001", "−12.4 % [−25.1, −5.7]", "–",
        "[–]", "−1.9 points [−4.0, +0.1]", "3 of 5", "27 (0.016 *)", "69 / 6 / 93", "12.6 min",
        "98.0 [97.6, 98.4] *", "",
    ],
)  # fmt: skip
def test_figures_stand_flush_right(cell):
    assert Table("", ("Line", "Value"), [("first", cell), ("second", "1.00")]).figures == [2]


@pytest.mark.parametrize("cell", ["decision", "yes", "2026-01-21 16:35", "network", "[a]b", "never 3"])
def test_words_and_times_do_not(cell):
    assert Table("", ("Line", "Value"), [("first", cell), ("second", "1.00")]).figures == []


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([("a", "1"), ("b", "2")], 1),
        ([("a", "1h", "1"), ("", "4h", "2")], 2),
        ([("a", "1h", "x", "1"), ("", "", "y", "2"), ("", "4h", "x", "3")], 3),
        ([("a", "1", ""), ("b", "", "")], 1),
        ([], 1),
    ],
)
def test_columns_that_name_a_row_are_counted_by_what_later_rows_of_a_group_leave_empty(rows, names):
    table = Table("", ("",) * 4, rows)
    assert table.num_names == names
    assert all(column > names for column in table.figures)


def test_a_forecast_price_has_five_digits():
    assert [about(price) for price in (66_243.14, 1_963.56, 0.51234567, 0.000012345678)] == [
        "66,243", "1,963.6", "0.51235", "0.000012346",
    ]  # fmt: skip
    assert about(None) == about(0.0) == "–"
