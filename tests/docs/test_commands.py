"""What the documentation tells a reader to type is understood: by the command, by make, by pip."""

import re
import tomllib

import pytest
from typer.exceptions import Exit

from tests.docs.fences import ROOT, all_fences, pages
from tests.docs.lines import Line, lines_of, names, options_of, parse, typed_on

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OTHERS = {"cd", "export", "git", "jupyter", "ray", "source"}  # not of this project


def test_console_blocks_show_what_is_typed():
    assert [fence.where for fence in all_fences("console") if not lines_of(fence)] == []


@pytest.mark.parametrize("page", [page for page in pages() if typed_on(page)])
def test_every_line_is_understood(page):
    for line in typed_on(page):
        if line.for_polyscale is not None:
            understood(line)
        else:
            assert known(line.words), f"{line.where}: {line.text}"


def understood(line):
    """Parsed, not run; unknown options and missing arguments are told with their place."""
    try:
        parse(line.for_polyscale)
    except Exit:  # --version and --help
        return
    except Exception as error:
        raise AssertionError(f"{line.where}: {line.text}: {error}") from error


def known(words):
    """Whether what is called is there: a target, a benchmark, an extra, a file."""
    match words:
        case ["make", *targets]:
            return {target for target in targets if "=" not in target} <= TARGETS
        case ["python" | "python3", "-m", "benchmarks", *which]:
            there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} | {"all", "NAME"}
            return {name for word in which[:1] for name in word.split("|")} <= there
        case ["python" | "python3", "-m", "venv", _]:
            return True
        case ["python" | "python3", path, *_]:
            return (ROOT / path).is_file()
        case ["pip", "install", *what]:
            extras = {
                name for word in what for each in re.findall(r"\[(.+)\]", word) for name in each.split(",")
            }
            files = [what[i + 1] for i, word in enumerate(what) if word == "-r"]
            return extras <= set(PROJECT["optional-dependencies"]) and all(
                (ROOT / f).is_file() for f in files
            )
        case _:
            return words[0] in OTHERS


@pytest.mark.parametrize("page", pages())
def test_commands_named_in_prose_are_there(page):
    prose = re.sub(r"^ *```.*?^ *```$", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    for name, rest in re.findall(r"`(?:\$ )?polyscale ([a-z]+)([^`]*)`", prose):
        assert name in names(), f"{page}: polyscale {name}"
        options = set(re.findall(r"(?<!\S)--[a-z-]+", rest))
        assert options <= options_of(name) | {"--help"}, f"{page}: polyscale {name}{rest}"


@pytest.mark.parametrize(
    "words", ["run --confg x.yaml", "import bars.csv", "nosuch", "fetch BTCUSDT --days many"]
)
def test_wrong_words_are_not_understood(words):
    with pytest.raises(AssertionError, match=r"page\.md:1: polyscale"):
        understood(Line("page.md:1", f"polyscale {words}  # with a comment"))


@pytest.mark.parametrize(
    "words", ["make nothing", "python -m benchmarks nothing", "pip install 'polyscale[no]'"]
)
def test_what_is_not_there_is_not_known(words):
    assert not known(Line("page.md:1", words).words)
