"""The documentation is followed from top to bottom: every page at a desk of its own, all its code unchanged.

Blocks of Python run in one namespace; lines of console and bash blocks run as they stand between them. A
block ``text output`` after a block of Python is what that block prints; … in it stands for anything. A line
that is to end in failure says "exit status 1" in its comment.
"""

import ast
import re

import pytest

from tests.docs.fences import ROOT, all_fences, fences, pages
from tests.docs.lines import lines_of, run, typed_on

PRELUDES: dict[str, str] = {}  # what a page's code presupposes, where to say it on the page would lead away
NOT_RUN = {}  # "page:line" of a block of Python: why it cannot run; three at most
ONLY_PARSED = {  # how a line goes on behind ``polyscale``: why it is not run here
    r"demo": "trains for a minute; tests/cli/test_demo.py",
    r"stream": "goes on until Ctrl-C; tests/cli/test_market_data.py",
    r"replay": "goes on until Ctrl-C; tests/cli/test_replay_command.py",
    r"search": "trains a network per trial; tests/cli/test_search_command.py",
    r"evaluate": "fits every baseline; tests/cli/test_evaluate_command.py",
    r"audit \S+( --cuts \d+)?$": "makes the chain again at two hundred cuts; tests/cli/test_audit_command.py",
    r"(run|train) (--resume last|.*configs/full.yaml)": "nothing was cut off; half an hour",
    r"explain \S+ --at": "a time of the real bars; tests/cli/test_explain_command.py",
    r"fetch .*--source ccxt:": "asks another exchange; tests/cli/test_fetch_source.py",
    r"fetch .*--url ": "asks the exchange that another terminal plays; tests/cli/test_market_data.py",
    r"fetch .*BNBUSDT": "the desk's exchange has three markets; tests/cli/test_market_data.py",
}


def code_of(page):
    """The page's code as trees and words: the same for two pages that differ in comments alone."""
    python = ast.dump(ast.parse("".join(fence.text for fence in fences(page, "python"))))
    typed = [line.words for fence in fences(page, "console", "bash") for line in lines_of(fence)]
    return python, str(typed)


def pages_with_code():
    """Pages that hold code; of pages with the same code, such as translations, the first."""
    found = {}
    for page in pages():
        if fences(page, "python", "console", "bash"):
            found.setdefault(code_of(page), page)
    return list(found.values())


def execute(code, page, line, namespace):
    """Run a block of Python; tracebacks name the page and its line."""
    exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), namespace)


def type_in(line):
    """Run a line, if it is one for polyscale that is quick."""
    words = line.for_polyscale
    if words is None or line.words[0] != "polyscale" or why_only_parsed(words):
        return
    status, said = run(words)
    assert status == int("exit status 1" in line.text), f"{line.where}: {line.text}\n{said}"


def why_only_parsed(words):
    """The reason why a line is not run; none if it is."""
    text = " ".join(words)
    return next((why for pattern, why in ONLY_PARSED.items() if re.match(pattern, text)), None)


def matches(shown, printed):
    """Whether the shown text is what was printed, but for spaces at ends of lines and where it says …"""
    shown, printed = (
        "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) for text in (shown, printed)
    )
    return re.fullmatch(re.escape(shown).replace("…", r"[\s\S]*?"), printed) is not None


@pytest.mark.parametrize("page", pages_with_code())
def test_a_page_can_be_followed(page, at_desk, capsys):
    namespace, printed = {"__name__": "page"}, ""
    execute(PRELUDES.get(page.replace(".ru.md", ".md"), ""), page, 1, namespace)
    for fence in fences(page, "python", "text output", "console", "bash"):
        if fence.language == "text output":
            assert matches(fence.text, printed), f"{fence.where} shows what was not printed:\n{printed}"
        elif fence.language != "python":
            for line in lines_of(fence):
                type_in(line)
        elif fence.where not in NOT_RUN:
            capsys.readouterr()
            execute(fence.text, page, fence.line, namespace)
            printed = capsys.readouterr().out


def test_nearly_everything_is_run():
    there = {fence.where for fence in all_fences("python")}
    assert set(NOT_RUN) <= there, "a block that is not run must be there"
    assert all(NOT_RUN.values()), "and have its reason"
    assert len(NOT_RUN) <= 3
    assert set(PRELUDES) <= set(pages())
    assert len(PRELUDES) <= 3
    assert len(pages_with_code()) >= 10


def test_most_lines_are_run():
    given = [line.for_polyscale for page in pages_with_code() for line in typed_on(page)]
    typed = [" ".join(words) for words in given if words]
    assert all(ONLY_PARSED.values())
    only_parsed = [line for line in typed if why_only_parsed(line.split())]
    assert len(only_parsed) < len(typed) / 2


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 1\n…\nc", "a 1 \nb\nc\n", True),
        ("in … hours", "in 12 hours", True),
        ("a", "a\nb", False),
        ("a.b", "axb", False),
    ],
)
def test_shown_output_is_held_against_what_was_printed(shown, printed, same):
    assert matches(shown, printed) is same


def test_code_goes_by_the_names_under_which_it_is_run():
    others = {
        "py",
        "python3",
        "ipython",
        "pycon",
        "sh",
        "shell",
        "bash-session",
        "shell-session",
        "zsh",
        "yml",
    }
    named = {fence.where: fence.language.lower() for fence in all_fences()}
    assert {where: name for where, name in named.items() if name in others} == {}
    assert not [fence.where for fence in all_fences() if fence.language != fence.language.lower()]
