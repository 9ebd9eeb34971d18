"""The command reference: every command with its arguments, options and examples, from the parser itself.

In: the typer app. Out: Markdown, a section per command, in the order of ``polyscale --help``.
"""

from __future__ import annotations

import inspect
import re
from enum import Enum
from typing import Any, Final

from typer.main import get_command

from polyscale.cli.main import app
from reference.table import code, table

_OPTION: Final = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")
_WORDS: Final = {"str": "text", "int": "integer", "float": "number", "path": "path", "Path": "path"}


def markdown() -> str:
    """The reference."""
    return "\n".join(described(name, command) for name, command in commands().items())


def commands() -> dict[str, Any]:
    """The parser's commands by name."""
    group: Any = get_command(app)
    return dict(group.commands)


def names(parameter: Any) -> list[str]:
    """``--config``, ``-c``; ``FILE`` of an argument."""
    if parameter.param_type_name == "argument":
        return [parameter.name.upper()]
    return [*parameter.opts, *parameter.secondary_opts]


def default(parameter: Any) -> str:
    """What is taken where nothing is said."""
    if parameter.required:
        return "**required**"
    value = parameter.default
    if getattr(parameter, "is_flag", False):
        return "on" if value else "off"
    if value is None:
        return "absent"
    return code(str(value.value if isinstance(value, Enum) else value))


def kind(parameter: Any) -> str:
    """What may follow, in words."""
    described = parameter.type_descriptor
    if getattr(parameter, "is_flag", False):
        word = "switch"
    elif described.is_choice:
        word = ", ".join(code(str(getattr(each, "value", each))) for each in described.choices)
    else:
        bare = parameter.bare_type().removeprefix("list[").removesuffix("]")
        word = _WORDS[bare]
    low, high = parameter.min, parameter.max
    bounds = [*([f"≥ {low:g}"] if low is not None else []), *([f"≤ {high:g}"] if high is not None else [])]
    again = ["repeatable"] if getattr(parameter, "multiple", False) else []
    many = ["one or more" if parameter.required else "any number"] if parameter.nargs == -1 else []
    return ", ".join([word, *bounds, *again, *many])


def examples(command: Any) -> list[str]:
    """Lines of the shell; `ValueError` if there are none."""
    told = (command.epilog or "").partition(":")[2]
    found = [line.strip() for line in told.split(";") if line.strip()]
    if not found:
        raise ValueError(f"polyscale {command.name} must have an example in its epilog")
    return found


def described(name: str, command: Any) -> str:
    """Heading, usage, options and examples of one command.

    Raises
    ------
    ValueError
        If it, an argument or an option says nothing of itself, or if there is no example.
    """
    if not command.help:
        raise ValueError(f"polyscale {name} must have a docstring")
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    asked = " ".join(_usage(each) for each in arguments)
    shown = "\n".join(f"$ {line}" for line in examples(command))
    rows = [
        [" ".join(map(code, names(each))), kind(each), default(each), _meaning(name, each)]
        for each in [*arguments, *(each for each in command.params if each not in arguments)]
    ]
    return "\n".join(
        [
            f"## {code(f'polyscale {name}')}\n",
            _plain(inspect.cleandoc(command.help)) + "\n",
            f"```text\npolyscale {name} {asked} [OPTIONS]\n```\n".replace("  ", " "),
            table(["argument or option", "value", "default", "meaning"], rows),
            f"```console\n{shown}\n```\n",
        ]
    )


def _usage(argument: Any) -> str:
    name = names(argument)[0] + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _meaning(command: str, parameter: Any) -> str:
    if not parameter.help:
        raise ValueError(f"{names(parameter)[0]} of polyscale {command} must have a help text")
    variable = f" Or the variable {code(parameter.envvar)}." if parameter.envvar else ""
    return _plain(parameter.help) + variable


def _plain(text: str) -> str:
    """Options as code; what Markdown would take for its own is none."""
    for mark in "*_<>[]":
        text = text.replace(mark, f"\\{mark}")
    return _OPTION.sub(r"`\1`", text)
