"""The documentation's Python runs: every page in one namespace, block after block, unchanged.

A block ``text output`` after a block of Python is what that block prints; … in it stands for anything.
"""

import ast
import re

import pytest

from tests.docs.fences import ROOT, all_fences, fences, pages

PRELUDES = {  # what a page's code presupposes, where to say it on the page would lead away from it
    "README.md": """
import torch
import polyscale
from polyscale.model.network import NetworkInput

bars = polyscale.read_bars("btc_5m.parquet", "5m", label="open")
network = polyscale.fit("configs/btc_5m.yaml", {"BTCUSDT": bars}).model.network
new_rows = NetworkInput(
    rows=[torch.zeros(200, 1, len(names)) for names in network.spec.features],
    masks=[torch.ones(200, 1, dtype=torch.bool) for _ in network.spec.scales],
    aligned=torch.zeros(200, 1, len(network.spec.scales), dtype=torch.long),
    origin=torch.zeros(200, 1, network.spec.num_origin_inputs),
    base=torch.zeros(200, 1, len(network.spec.horizons)),
)
""",
}
NOT_RUN = {}  # "page:line" of the block: why it cannot run; three at most


def code_of(page):
    """The page's Python as one tree: the same for two pages that differ in comments alone."""
    return ast.dump(ast.parse("".join(fence.text for fence in fences(page, "python"))))


def pages_with_code():
    """Pages that hold Python; of pages with the same code, such as translations, the first."""
    found = {}
    for page in pages():
        if fences(page, "python"):
            found.setdefault(code_of(page), page)
    return list(found.values())


def run(code, page, line, namespace):
    """Execute a block; tracebacks name the page and its line."""
    exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), namespace)


def matches(shown, printed):
    """Whether the shown text is what was printed, but for trailing spaces and where it says …"""
    lines = [line.rstrip() for line in printed.splitlines()]
    pattern = re.escape("\n".join(line.rstrip() for line in shown.strip("\n").splitlines()))
    return re.fullmatch(pattern.replace("…", r"[\s\S]*?"), "\n".join(lines).strip("\n")) is not None


@pytest.mark.parametrize("page", pages_with_code())
def test_the_code_of_a_page_runs(page, at_desk, capsys):
    namespace = {"__name__": "page"}
    run(PRELUDES.get(page, ""), page, 1, namespace)
    printed = ""
    for fence in fences(page, "python", "text output"):
        if fence.language == "text output":
            assert matches(fence.text, printed), f"{fence.where} shows what was not printed:\n{printed}"
        elif fence.where not in NOT_RUN:
            capsys.readouterr()
            run(fence.text, page, fence.line, namespace)
            printed = capsys.readouterr().out


def test_nearly_every_block_is_run():
    there = {fence.where for fence in all_fences("python")}
    assert set(NOT_RUN) <= there, "a block that is not run must be there"
    assert all(NOT_RUN.values()), "and have its reason"
    assert len(NOT_RUN) <= 3
    assert set(PRELUDES) <= set(pages())
    assert len(PRELUDES) <= 3
    assert len(pages_with_code()) >= 10


def test_code_of_another_language_is_named_so():
    known = {"python", "console", "bash", "yaml", "text", "text output", "json", "toml"}
    odd = {fence.where: fence.language for fence in all_fences() if fence.language not in known}
    assert not {where: name for where, name in odd.items() if not name.startswith("{")}
