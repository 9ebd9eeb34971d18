"""Fields of a dataclass or a named tuple as the API page shows them: name, type, and the comment beside it.

The code says what a field is in a comment on its line (``quantiles: Floats  # [N, H, Q] of the return``),
which autodoc does not read.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Any

from polyscale.market.settings import Settings
from reference import settings


def rest(thing: Any) -> list[str]:
    """A list of fields in reST; of a config's settings, where their keys are explained."""
    if not has_fields(thing):
        return []
    if any(thing is section.model for section in settings.sections()):
        return ["", "Its keys stand in the :doc:`configuration reference <config>`.", ""]
    lines = [""]
    for name, annotation, comment in _of_model(thing) if _is_model(thing) else fields(thing):
        lines += [
            f":ivar {name}: {comment}" if comment else f":ivar {name}:",
            f":vartype {name}: ``{annotation}``",
        ]
    return [*lines, ""]


def has_fields(thing: Any) -> bool:
    """Whether it is a dataclass, a named tuple or a model of settings."""
    return dataclasses.is_dataclass(thing) or hasattr(thing, "_fields") or _is_model(thing)


def fields(thing: type) -> list[tuple[str, str, str]]:
    """Name, type and comment of each field, in order."""
    text = textwrap.dedent(inspect.getsource(thing))
    lines = text.splitlines()
    body = ast.parse(text).body[0]
    assert isinstance(body, ast.ClassDef)
    found = []
    for each in body.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            assert each.end_lineno is not None
            found.append(
                (
                    each.target.id,
                    ast.unparse(each.annotation),
                    _comment(lines[each.lineno - 1 : each.end_lineno]),
                )
            )
    return [field for field in found if not field[0].startswith("_")]


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Settings)


def _of_model(model: type[Settings]) -> list[tuple[str, str, str]]:
    """The same of a model of settings, from its descriptions."""
    return [
        (name, str(annotation), model.model_fields[name].description or comment)
        for name, annotation, comment in fields(model)
    ]


def _comment(lines: list[str]) -> str:
    told = [match[1] for line in lines if (match := re.search(r"  # (.*)$", line))]
    return " ".join(told).replace("|", r"\|").replace("*", r"\*")
