import pytest

from polyscale.report.badge import badge, set_badge

CLEAN = {"clean": True, "findings": [], "cuts": 200, "depth": "every row", "made_at": "2026-03-01T10:00:00"}


@pytest.mark.parametrize(
    ("audit", "kind", "told"),
    [
        (None, "open", "Not audited for look-ahead"),
        (CLEAN, "clean", "clean</b> <span>200 cuts, every row, 2026-03-01"),
        (CLEAN | {"clean": False, "findings": [{}]}, "leak", "1 finding</b>"),
        (CLEAN | {"clean": False, "findings": [{}, {}]}, "leak", "2 findings</b>"),
    ],
)
def test_the_badge_says_what_the_audit_said(audit, kind, told):
    assert f'class="badge {kind}"' in badge(audit)
    assert told in badge(audit)


def test_another_audit_takes_the_place_of_the_one_before():
    page = f"<h1>x</h1>{badge(None)}<p>rest</p>"
    assert set_badge(set_badge(page, CLEAN), CLEAN) == f"<h1>x</h1>{badge(CLEAN)}<p>rest</p>"


def test_a_page_of_before_there_were_badges_gets_one():
    assert set_badge("<header></header>", CLEAN) == f"<header>{badge(CLEAN)}</header>"


def test_words_of_an_audit_are_no_markup():
    assert "<script>" not in badge(CLEAN | {"depth": "<script>"})
