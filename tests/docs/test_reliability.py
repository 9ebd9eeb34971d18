"""Tests that the pages name are there, under the names that the pages give."""

import ast
import re
from functools import cache

import pytest

from tests.docs.figures import ROOT

PAGES = ("docs/reliability.md", "docs/chapter.md")


@cache
def names_in(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, kinds)}


def blocks_of(page):
    """Paragraphs, items of lists and rows of tables."""
    path = ROOT / page
    if not path.exists():
        pytest.skip(f"there is no {page}")
    return re.split(r"\n\s*\n|\n(?=\s*- |\|)", path.read_text())


def files_in(block):
    return re.findall(r"tests/[\w/.]+\.py", block)


@pytest.mark.parametrize("page", PAGES)
def test_every_test_file_that_is_named_exists(page):
    named = {path for block in blocks_of(page) for path in files_in(block)}
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_is_in_a_file_named_beside_it(page):
    for block in blocks_of(page):
        files = [path for path in files_in(block) if (ROOT / path).is_file()]
        held = set().union(*map(names_in, files))
        named = set(re.findall(r"(?<![/\w])(test_\w+)\b(?!\.py)", block))
        assert named <= held, f"{page}: {sorted(named - held)} in none of {files}"


def test_every_promise_is_followed_by_its_test_or_its_figure():
    blocks = blocks_of("docs/reliability.md")
    promises = [n for n, block in enumerate(blocks) if block.startswith("- **")]
    assert len(promises) > 60
    bare = [blocks[n] for n in promises if not re.search(r"`(tests|docs/figures)/", blocks[n + 1])]
    assert bare == []


def test_every_file_of_figures_that_is_named_exists():
    named = re.findall(r"docs/figures/\w+\.json", "\n".join(blocks_of("docs/reliability.md")))
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
