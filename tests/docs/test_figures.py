"""Figures on the pages are those in `docs/figures`, at the precision at which they are printed."""

import json
import math
import re
import subprocess
import sys
from collections import Counter
from datetime import date

import pytest

from polyscale.audit.museum import MUSEUM
from polyscale.features.catalogue import CATALOGUE
from tests.docs.claims import NONE, TEMPLATES, WORDS
from tests.docs.figures import FIGURES, ROOT, faults, figure, kept

FILES = sorted(path.stem for path in FIGURES.glob("*.json"))


def text_of(page):
    path = ROOT / page
    if not path.exists():
        pytest.skip(f"there is no {page}")
    return path.read_text()


def benchmarks():
    """The words that `python -m benchmarks` knows, as it says itself."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return re.search(r"\{(.*)\}", done.stderr)[1].split("|")


@pytest.mark.parametrize(("page", "template"), [(p, t) for p, each in TEMPLATES.items() for t in each])
def test_what_a_page_says_is_what_its_file_says(page, template):
    told, _ = faults(page, text_of(page), template)
    assert told == []


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.phrase)
def test_a_figure_in_words_is_near_its_file(words):
    told = " ".join(text_of(words.page).split())
    assert words.phrase in told, (
        f"{words.page} no longer says {words.phrase!r}; mend it or tests/docs/claims.py"
    )
    assert words.least <= figure(words.key) <= words.most


@pytest.mark.parametrize("page", NONE)
def test_every_measured_number_has_a_file(page):
    """What nobody holds against a file would grow old: decimals, and numbers before a unit or `times`."""
    text = text_of(page)
    held = [span for template in TEMPLATES[page] for span in faults(page, text, template)[1]]
    said = [re.escape(words.phrase).replace(r"\ ", r"\s+") for words in WORDS if words.page == page]
    no_figures = (*said, r"```.*?```", r"`[^`\n]*`", r"\]\([^)]*\)", *NONE[page])
    held += [
        found.span() for each in no_figures for found in re.finditer(each, text, re.DOTALL | re.MULTILINE)
    ]
    measured = re.finditer(r"\d+\.\d+|\b\d[\d,]*(?= (?:times|ms|s|MB|GB|%)(?!\w))", text)
    loose = [m for m in measured if not any(begin <= m.start() < end for begin, end in held)]
    assert [text[max(m.start() - 40, 0) : m.end() + 20] for m in loose] == []


def test_counts_of_the_readme_are_those_of_the_code():
    told = " ".join(text_of("README.md").split())
    assert f"has {len(CATALOGUE)} features" in told
    assert len(MUSEUM) == 15
    assert "fifteen usual leaks" in told


def test_the_russian_readme_has_the_numbers_of_the_english_one():
    """Of numbers with a decimal, or of three digits and more, it has the same, as often."""
    russian, english = numbers_of(text_of("README.ru.md")), numbers_of(text_of("README.md"))
    assert russian - english == Counter()
    assert english - russian == Counter()


def numbers_of(text):
    """Outside code, links and comments; `0,356` is read as `0.356`, `17 100` as `17,100`."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"(?<=\d)[\u00a0\u202f ,](?=\d{3}(?!\d))(?<!\b0.)", "", text)
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    return Counter(n for n in re.findall(r"\d+\.\d+|\d{3,}", text))


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_was_run_when_and_where(name):
    told = kept(name)
    assert {"what", "command", "date", "code", "machine", "figures"} <= set(told)
    assert {"cpu", "cores", "threads", "shared"} <= set(told["machine"])
    date.fromisoformat(told["date"])
    for run in told.get("again", ()):
        assert {"date", "code", "shared", "figures"} <= set(run)
    json.dumps(told, allow_nan=False)
    assert all(math.isfinite(value) for value in leaves(told["figures"]))


def leaves(value):
    """Every number in a nest of mappings and lists."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    elif isinstance(value, int | float):
        yield value


def test_every_benchmark_has_its_file_and_its_place_on_the_page():
    page = text_of("docs/benchmarks.md")
    names = set(benchmarks()) - {"all"}
    assert names <= set(FILES)
    assert [name for name in names if f"`{name}`" not in page] == []
    assert [name for name in set(FILES) - names if f"`{name}.json`" not in page] == []


def test_every_benchmark_that_a_page_names_is_there():
    names = set(benchmarks())
    for page in [ROOT / "README.md", *ROOT.glob("README.*.md"), *(ROOT / "docs").glob("*.md")]:
        for words in re.findall(r"python -m benchmarks ([a-z_|]+)", page.read_text()):
            assert set(words.split("|")) <= names, f"{page.name}: {words}"
