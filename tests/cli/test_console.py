"""What a person sees in a terminal of 80 columns, and in a file."""

import io

import pytest
from rich.console import Console

from polyscale.cli import console

COLUMNS = ["horizon", "network", "base", "log-HAR", "last value", "ratio to base", "labels"]
TITLE = (
    "BTCUSDT: QLIKE of volatility in the test (less is better), and more words than its table is wide: 1 2"
)


@pytest.fixture
def terminal(monkeypatch):
    page = Console(file=io.StringIO(), width=80, force_terminal=True, soft_wrap=True, no_color=True)
    monkeypatch.setattr(console, "out", page)
    return page.file


def row():
    return ["1h", *(console.spread("0.356", "[0.302, 0.420]") for _ in range(3)), "0.697", "0.895", "1415"]


def test_a_table_on_a_narrow_terminal_breaks_heads_and_no_figure(terminal):
    console.table("losses", COLUMNS, [row()])
    told = terminal.getvalue()
    assert all(len(line) <= 80 for line in told.splitlines() if "\x1b" not in line)
    assert told.count("[0.302, 0.420]") == 3
    assert "0.356" in told
    assert "1415" in told


def test_a_sentence_on_a_terminal_is_broken_between_words(terminal):
    console.sentence("network " * 30)
    lines = terminal.getvalue().splitlines()
    assert lines[0].startswith("- network")
    assert all(line.startswith("  network") for line in lines[1:])
    assert all(len(line) <= 80 and line.split()[-1] == "network" for line in lines)


def test_in_a_file_a_sentence_and_an_interval_keep_their_line(capsys):
    console.table(TITLE, COLUMNS, [row()])
    console.sentence("network " * 30)
    told = capsys.readouterr().out.splitlines()
    assert told[0].rstrip() == TITLE
    assert sum("0.356 [0.302, 0.420]" in line for line in told) == 1
    assert len(told[-1]) > 200
