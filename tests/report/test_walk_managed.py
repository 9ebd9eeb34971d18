import copy
import json
import re

import pytest

from polyscale.report import palette
from polyscale.report.walk.managed import managed_pictures, managed_section
from polyscale.report.walk.page import render_walk
from polyscale.report.walk.results import results_from
from polyscale.report.wording import number, percent
from tests.report.test_study_sections import unknown_words
from tests.report.test_walk_page import cells, section, sections
from tests.report.walk_sample import walk_plain, walk_report


@pytest.fixture(scope="module")
def plain():
    return walk_plain(managed=True)


@pytest.fixture(scope="module")
def page(plain):
    return render_walk(walk_report(plain))


def differences(plain):
    for each in plain["symbols"].values():
        for managed in each["managed"]:
            for against in managed["against"].values():
                yield from (found for found in against.values() if found is not None)


def test_it_stands_after_direction_and_in_every_chapter(page):
    found = sections(page)
    assert found.index("managed") == found.index("direction") + 1
    assert {"s0-held", "s1-held"} <= set(found)


def test_one_symbol_has_its_pictures_beside_the_table():
    page = render_walk(walk_report(walk_plain(("AAA",), managed=True)))
    assert section(page, "managed").count('class="chart"') == 2
    assert "held" not in sections(page)


def test_every_account_has_its_row(plain, page):
    first = plain["symbols"]["AAA"]["managed"][0]
    assert list(first["accounts"]) == ["network", "log-HAR", "base", "constant"]
    account = first["accounts"]["network"]
    assert cells(
        section(page, "managed"),
        "AAA",
        "1h",
        "network",
        percent(account["total_return"], 2, signed=True),
        percent(account["volatility"]),
        number(account["sharpe_ratio"]),
    )
    assert section(page, "managed").count("<td>constant</td>") == 2 * 3


def test_dots_are_the_differences_and_colours_go_by_the_interval(plain):
    each = results_from(plain).symbols["AAA"]
    for picture, name in zip(managed_pictures(each), ("sharpe_ratio", "utility"), strict=True):
        drawn = [trace for trace in picture.figure.data if trace.mode == "markers"]
        found = [getattr(a, name) for managed in each.managed for a in managed.against.values()]
        factor = 1 if name == "sharpe_ratio" else 100
        assert [trace.x[0] for trace in drawn] == pytest.approx([factor * value.mean for value in found])
        assert [trace.marker.color for trace in drawn] == [
            palette.colour_of(value.low, value.high, 0.0) for value in found
        ]


def test_what_it_is_and_that_nothing_is_clear_of_zero_is_said(plain):
    changed = copy.deepcopy(plain)
    for found in differences(changed):
        found.update(low=-1.0, high=1.0)
    lead = managed_section(results_from(changed)).lead
    assert "trades on the forecast of volatility alone" in lead[0]
    assert "the target of 20 % a year" in lead[0]
    assert lead[1] == "No interval of 36 is clear of zero: nothing is claimed."


def test_what_is_clear_of_zero_is_named_and_counted(plain):
    changed = copy.deepcopy(plain)
    for found in differences(changed):
        found.update(low=-1.0, high=1.0)
    changed["symbols"]["BBB"]["managed"][0]["against"]["base"]["utility"].update(low=0.1)
    lead = managed_section(results_from(changed)).lead[1]
    assert lead.startswith("Clear of zero: better for BBB 1h against base (utility).")
    assert "of 36 some are clear of zero by chance" in lead


def test_why_there_is_none_is_said_and_an_older_evaluation_has_no_section(plain):
    changed = copy.deepcopy(plain)
    for each in changed["symbols"].values():
        each.update(managed=[], managed_reason="the tests are shorter than 2 days")
    assert "BBB: the tests are shorter than 2 days." in section(render_walk(walk_report(changed)), "managed")
    for each in changed["symbols"].values():
        del each["managed"], each["managed_reason"]
    assert managed_section(results_from(changed)) is None


def test_a_symbol_without_it_is_named_under_the_table(plain):
    changed = copy.deepcopy(plain)
    changed["symbols"]["BBB"].update(managed=[], managed_reason="funding is missing")
    page = render_walk(walk_report(changed))
    assert "BBB: funding is missing." in section(page, "managed")
    assert "s1-held" not in sections(page)


def test_numbers_that_do_not_exist_are_dashes(plain):
    changed = copy.deepcopy(plain)
    managed = changed["symbols"]["AAA"]["managed"][0]
    managed["accounts"]["network"].update(sharpe_ratio=None, miss=None, volatility=None)
    for against in managed["against"].values():
        against["sharpe_ratio"] = None
        against["utility"].update(low=None, high=None, reason="too few days")
    page = render_walk(walk_report(json.loads(json.dumps(changed))))
    assert not unknown_words(section(page, "managed") + section(page, "s0-held"))
    assert re.search(r"<td>network</td><td>[^<]*</td><td>–</td><td>–</td>", section(page, "managed"))
