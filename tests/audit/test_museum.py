import pytest

from polyscale.audit.museum import MUSEUM

NAMED = {exhibit.name: exhibit for exhibit in MUSEUM}
CAUGHT = {  # test, source, reach in bars (None: to the end of the data, or not in bars)
    "hour joined by its label": ("prefix", "bars.close", 12),
    "unfinished last bar": ("rows", "bars", 1),
    "backward fill": ("prefix", "bars.close", range(1, 289)),
    "funding before its time": ("prefix", "funding.funding_rate", range(1, 97)),
    "day by local midnight": ("prefix", "bars.close", 60),
    "interpolation across a gap": ("poison-nan", "bars.close", 1),
    "centred window": ("prefix", "bars.close", 5),
    "shift by minus one": ("prefix", "bars.close", 1),
    "scaled with the horizon inside": ("prefix", "bars.close", 12),
    "target under another name": ("prefix", "bars.close", 12),
    "wavelet of the whole series": ("prefix", "bars.close", range(500, 3_500)),
    "VMD of the whole series": ("prefix", "bars.close", None),
    "scaler fitted on everything": ("poison-nan", "bars.close", None),
    "rank over the whole sample": ("prefix", "bars.close", None),
    "purge forgotten": ("purge", "validate rows", None),
}


def test_there_are_fifteen():
    assert list(NAMED) == list(CAUGHT)
    assert len(MUSEUM) == 15


@pytest.mark.parametrize("name", CAUGHT)
def test_a_leak_is_caught_and_located(name):
    test, source, bars = CAUGHT[name]
    finding = NAMED[name].run().findings[0]
    assert (finding.test, finding.source) == (test, source)
    if bars is None:
        assert finding.reach.to_end or finding.test == "purge"
    else:
        assert finding.reach.bars in (bars if isinstance(bars, range) else (bars,))
        assert not finding.reach.to_end


@pytest.mark.parametrize("name", CAUGHT)
def test_its_repair_is_clean(name):
    audit = NAMED[name].repaired()
    assert audit.findings == ()
    assert sum(scope.rows for scope in audit.tests) > 0


def test_each_says_why():
    assert all(len(exhibit.why.split()) > 5 for exhibit in MUSEUM)
