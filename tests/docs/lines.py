"""What a reader types: lines of console and bash blocks, and what the command's own parser makes of them."""

import re
import shlex
from dataclasses import dataclass

import typer
from typer.testing import CliRunner

from polyscale.cli.main import app
from tests.docs.fences import fences

_COMMAND = typer.main.get_command(app)
_TORCHRUN = "-m polyscale "


@dataclass(frozen=True)
class Line:
    """A line that is typed, and where it stands."""

    where: str
    text: str

    @property
    def words(self):
        """Words without a comment, and without environment variables before the command."""
        words = shlex.split(self.text, comments=True)
        while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
            words = words[1:]
        return words

    @property
    def for_polyscale(self):
        """What the command ``polyscale`` is given; None if the line calls another program."""
        words = self.words
        if words[0] == "polyscale":
            return words[1:]
        if words[0] == "torchrun" and _TORCHRUN in self.text:
            return shlex.split(self.text.split(_TORCHRUN, 1)[1], comments=True)
        return None


def lines_of(fence):
    """What is typed in a block: behind ``$`` in a console, every line in bash; \\ joins lines."""
    typed = []
    text = re.sub(r"\\\n\s*", "", fence.text)
    for line in text.splitlines():
        if fence.language == "console":
            typed += [line[2:]] if line.startswith("$ ") else []
        elif line.strip() and not line.lstrip().startswith("#"):
            typed.append(line.strip())
    return [Line(fence.where, line) for line in typed]


def typed_on(page):
    """All lines of a page."""
    return [line for fence in fences(page, "console", "bash") for line in lines_of(fence)]


def parse(words):
    """Name and parameters that the command would be called with; raises what it would say of wrong words."""
    root = _COMMAND.make_context("polyscale", list(words))
    name, command, rest = _COMMAND.resolve_command(root, [*root._protected_args, *root.args])
    return name, command.make_context(name, rest, parent=root).params


def run(words):
    """Call the command in this process; its exit status and what it said."""
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, f"{done.output}\n{done.exception or ''}"


def options_of(name):
    """Options of a command, as they are written."""
    return {option for each in _COMMAND.commands[name].params for option in each.opts}


def names():
    """All commands."""
    return set(_COMMAND.commands)
