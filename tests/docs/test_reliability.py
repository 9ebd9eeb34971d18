"""Tests that the pages name are there, under the names that the pages give."""

import ast
import re
from functools import cache

import pytest

from tests.docs.figures import ROOT

PAGES = ("docs/reliability.md", "docs/chapter.md")


@cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def lines_of(page):
    path = ROOT / page
    if not path.exists():
        pytest.skip(f"there is no {page}")
    return path.read_text().splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_every_test_file_that_is_named_exists(page):
    named = {path for line in lines_of(page) for path in re.findall(r"tests/[\w/.]+\.py", line)}
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_is_in_a_file_named_beside_it(page):
    for line in lines_of(page):
        files = [path for path in re.findall(r"tests/[\w/.]+\.py", line) if (ROOT / path).is_file()]
        held = set().union(*map(names_in, files))
        named = set(re.findall(r"(?<!/)\b(test_\w+)\b(?!\.py)", line))
        assert named <= held, f"{page}: {sorted(named - held)} in none of {files}"


def test_every_row_of_a_promise_names_a_test_or_a_figure():
    rows = [line for line in lines_of("docs/reliability.md") if line.startswith("| ")]
    rows = [row for row in rows if not re.match(r"\| (promise|what) \|", row)]
    assert len(rows) > 50
    assert [row for row in rows if "tests/" not in row and "docs/figures/" not in row] == []


def test_every_figure_file_that_is_named_exists():
    text = "\n".join(lines_of("docs/reliability.md"))
    assert [p for p in re.findall(r"docs/figures/\w+\.json", text) if not (ROOT / p).is_file()] == []
