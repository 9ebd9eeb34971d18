import copy
import json
import re
from html import escape

import plotly.graph_objects as go
import pytest

from polyscale.market.errors import DataError
from polyscale.report.palette import SWAPS
from polyscale.report.walk.page import render_walk
from polyscale.report.walk.parts import duration
from polyscale.report.walk.results import results_from
from polyscale.report.wording import number, p_value
from tests.report.test_page import EVIL, MIB, figures, own_part
from tests.report.walk_sample import RIVALS, VARIANTS, walk_plain, walk_report

OPENING = ["verdict", "claims", "overview", "calibration", "tail-risk", "direction"]
CLOSING = ["times", "provenance"]


@pytest.fixture(scope="module")
def plain():
    return walk_plain(variants=VARIANTS)


@pytest.fixture(scope="module")
def page(plain):
    return render_walk(walk_report(plain))


@pytest.fixture(scope="module")
def skilled():
    """A network that knows far more than its rivals."""
    return walk_plain(("AAA",), noise=0.1)


def sections(text):
    return re.findall(r'<section id="([\w-]+)">', text)


def section(text, slug):
    return re.search(rf'<section id="{slug}">.*?</section>', text, re.DOTALL).group()


def cells(text, *row):
    """Whether a table row begins with these cells."""
    return "".join(f"<td>{escape(str(cell))}</td>" for cell in row) in text


def test_sections_come_in_the_order_of_the_questions(page):
    chapters = [f"s{i}-{slug}" for i in range(2) for slug in ("rivals", "quantiles", "where")]
    assert sections(page) == [*OPENING, *chapters, "ablations", *CLOSING]
    ids = re.findall(r'\sid="([\w-]+)"', own_part(page))
    assert len(ids) == len(set(ids))


def test_one_symbol_has_no_chapter_and_no_prefix(skilled):
    assert sections(render_walk(walk_report(skilled))) == [*OPENING, "rivals", "where", *CLOSING]


def test_page_asks_the_network_for_nothing_and_is_light(page):
    text = own_part(page)
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"<link|<img|<iframe|@import|url\(|\ssrc=", text)
    assert "default-src 'none'" in text
    assert page.count("* plotly.js v") == 1
    assert len(page.encode()) < 6 * MIB


def test_figures_are_such_as_plotly_accepts_and_use_the_palette_only(page):
    found = figures(page)
    assert len(found) == 2 + 2 + 1 + 2 + 2 * (2 + 2 + 3) + 1
    for figure in found:
        go.Figure(figure)
        colours = set(re.findall(r'"(#[0-9a-f]{3,8}|rgba?\([^"]*\))"', json.dumps(figure)))
        assert colours <= {*SWAPS, "rgba(0,0,0,0)"}


def test_symbols_and_rivals_are_no_markup():
    text = own_part(
        render_walk(
            walk_report(
                walk_plain((EVIL, "BBB"), rivals={"base": 0.5, "<b>ridge</b>": 0.4}),
                title=EVIL,
                provenance={EVIL: EVIL},
                config_yaml=EVIL,
            )
        )
    )
    assert EVIL not in text
    assert "<b>ridge" not in text
    assert escape(f"volatility {EVIL}") in text


def test_ratios_are_means_over_symbols_as_evaluation_json_has_them(plain, page):
    for name in RIVALS:
        means = [number(row[name]["qlike_ratio"], 3) for row in plain["averages"]]
        assert cells(section(page, "overview"), name, *means)


def test_every_rival_of_a_symbol_has_its_losses_and_p_values(plain, page):
    own = section(page, "s1-rivals")
    for name in RIVALS:
        found = plain["symbols"]["BBB"]["standings"][1]["models"][name]
        assert cells(
            own,
            name,
            number(found["qlike"]["mean"], 4),
            number(found["qlike"]["ratio"], 3),
            p_value(found["qlike"]["p_value"]),
            number(1e4 * found["pinball"]["mean"], 2),
        )


def test_coverage_tails_direction_and_slopes_are_those_of_the_evaluation(plain, page):
    each = plain["symbols"]["AAA"]
    held = each["scorecard"]["horizons"][0]["quantiles"]["coverage"][0]["observed"]
    assert number(100 * held["mean"], 1) + " [" in section(page, "calibration")
    assert cells(section(page, "calibration"), "all symbols", "2025-02-01", "0.25", "0.00", "1.00", "0.50")
    tail = each["tail_risk"][0]
    expected = number(tail["num_origins"] * tail["level"], 1)
    assert cells(
        section(page, "tail-risk"), "AAA", "1h", tail["num_origins"], tail["num_exceptions"], expected
    )
    direction = each["scorecard"]["horizons"][0]["direction"]
    hits = number(100 * direction["hit_rate"]["mean"], 1)
    assert cells(section(page, "direction"), "AAA", "1h", direction["num_independent"])
    assert f"<td>{hits} [" in section(page, "direction")
    assert number(direction["trade"]["gross_bps"]["mean"], 1, signed=True) in section(page, "direction")


def test_pictures_of_parts_show_ratios_to_the_base(plain, page):
    month = plain["symbols"]["AAA"]["breakdown"][0]["month"]
    drawn = figures(section(page, "s0-where"))[0]
    dots = next(trace for trace in drawn["data"] if trace["mode"] == "markers")
    assert dots["x"] == [part["name"] for part in month]
    assert dots["y"] == pytest.approx([part["ratio"] for part in month])


def test_an_edge_is_told_with_p_values_and_widened_intervals(skilled):
    text = render_walk(walk_report(skilled))
    shown = [claim for claim in skilled["claims"] if claim["shown"]]
    assert {claim["name"] for claim in shown} >= {"volatility AAA 1h"}
    verdict = section(text, "verdict")
    assert verdict.count("An edge is shown. ") == len(shown)
    assert f"{len(shown)} of 3 cases" in verdict
    assert "All 6 claims are judged together" in verdict
    base = skilled["symbols"]["AAA"]["scorecard"]["horizons"][0]["volatility"]["baselines"][1]
    low = 100 * base["difference"]["adjusted"]["low"] / base["qlike"]["mean"]
    assert f"[{number(low, 1, signed=True)}, " in verdict
    assert "99.17\N{NO-BREAK SPACE}%" in verdict


def test_a_claim_that_does_not_hold_is_told_with_its_reason(plain):
    changed = copy.deepcopy(plain)
    for claim in changed["claims"]:
        claim.update(shown=False, reason="the adjusted interval of the difference holds zero")
    text = render_walk(walk_report(changed))
    assert "No edge. None of the 12 claims holds" in section(text, "verdict")
    assert "no edge in volatility and no edge in direction" in section(text, "verdict")
    assert section(text, "claims").count("no: the adjusted interval of the difference holds zero") == 12


def test_direction_that_is_not_known_is_said_to_be_none(plain):
    changed = copy.deepcopy(plain)
    for each in changed["symbols"].values():
        each["scorecard"]["min_independent"] = 10**6
    assert "nothing here is told from a coin" in render_walk(walk_report(changed))


def test_without_a_base_there_is_nothing_to_part_and_nothing_breaks():
    text = render_walk(walk_report(walk_plain(rivals={"ridge": 0.5})))
    assert "The base was not among the rivals" in section(text, "s0-where")
    assert "Network over base" not in text
    assert "no: nothing to compare with" in section(text, "claims")


def test_one_horizon_and_ten_rivals_are_told_alike():
    names = {f"rival {i}": 0.4 + 0.01 * i for i in range(9)} | {"base": 0.5}
    plain = walk_plain(rivals=names)
    plain["horizons"] = plain["horizons"][:1]
    for each in plain["symbols"].values():
        each["scorecard"]["horizons"] = each["scorecard"]["horizons"][:1]
        each.update({key: each[key][:1] for key in ("standings", "tail_risk", "breakdown")})
        each["slopes"] = [
            {"fold": fold["fold"], **{key: fold[key][:1] for key in ("direction", "shape")}}
            for fold in each["slopes"]
        ]
    text = render_walk(walk_report(plain))
    assert "over 2 symbols and 1 horizon. All 4 claims" in section(text, "verdict")
    assert "10 rivals were asked; claims on volatility are made against base alone." in section(
        text, "verdict"
    )
    assert section(text, "overview").count("<td>rival 8</td>") == 2
    ticks = figures(section(text, "overview"))[0]["layout"]["yaxis"]["ticktext"]
    assert ticks == ["<b>1h ahead</b>", *names]


def test_without_any_rival_the_page_says_so():
    text = render_walk(walk_report(walk_plain(("AAA",), rivals={})))
    assert "no rival in this evaluation" in section(text, "overview")


def test_measures_that_do_not_exist_are_dashes_with_a_reason(plain):
    changed = copy.deepcopy(plain)
    first, second = changed["symbols"].values()
    first["tail_risk"] = [None, None, None]
    second["tail_risk"][0]["shortfall"] = None
    second["tail_risk"][1]["independence"].update(statistic=None, p_value=None, reason="too few of them")
    second["standings"][2]["models"] = {}
    scores = first["scorecard"]["horizons"]
    scores[0].update(volatility=None, quantiles=None, direction=None, reason="no origin")
    scores[1]["direction"].update(trade=None, information_coefficient=None, reliability=[])
    scores[2]["quantiles"]["coverage"][0]["observed"].update(mean=None, low=None, high=None)
    text = render_walk(walk_report(changed))
    tails = section(text, "tail-risk")
    assert cells(tails, "AAA", "1h", "–", "–")
    assert "A dash, BBB 4h: too few of them." in tails
    assert "no shortfall was forecast" in tails
    assert cells(section(text, "s1-rivals"), "1d", "not judged", "–")
    assert cells(section(text, "direction"), "AAA", "1h", "–", "–")
    assert not re.search(r"\bnan\b", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_no_tail_risk_at_all_is_said(plain):
    changed = copy.deepcopy(plain)
    for each in changed["symbols"].values():
        each["tail_risk"] = [None, None, None]
    assert "No value at risk could be judged" in render_walk(walk_report(changed))


def test_ablations_have_a_dash_where_a_variant_says_nothing(plain, page):
    ratios = plain["ablations"]["horizon 1h alone"]
    assert ratios[1:] == [None, None]
    assert cells(section(page, "ablations"), "horizon 1h alone", number(ratios[0], 3), "–", "–")


def test_times_and_provenance_are_written_out(page):
    assert cells(section(page, "times"), "network", "12.6 min")
    assert cells(section(page, "provenance"), "commit", "unknown")
    assert "torch 2.13.0" in section(page, "provenance")
    assert [duration(s) for s in (0.01, 0.34, 42.4, 61, 7_560)] == [
        "< 0.1 s",
        "0.3 s",
        "42 s",
        "1.0 min",
        "2.1 h",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.pop("claims"), "evaluation: must hold 'claims'"),
        (lambda data: data.update(horizons="1h"), "evaluation.horizons: must be"),
        (lambda data: data["seconds"].update(network="long"), "evaluation.seconds.network: must be"),
    ],
)
def test_a_damaged_evaluation_is_refused_by_name(plain, change, told):
    data = copy.deepcopy(plain)
    change(data)
    with pytest.raises(DataError, match=told):
        results_from(data)


def test_keys_of_a_later_version_are_left_alone(plain):
    assert results_from({**plain, "later": 1}) == results_from(plain)


def test_nobody_to_tell_of_is_refused(plain):
    with pytest.raises(DataError, match="a report needs at least one symbol"):
        render_walk(walk_report({**plain, "symbols": {}}))
