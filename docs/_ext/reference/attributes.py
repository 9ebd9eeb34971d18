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


def rest(thing: Any) -> list[str]:
    """A list of fields in reST; of settings, where their keys are explained."""
    if isinstance(thing, type) and issubclass(thing, Settings):
        return ["", "Its keys stand in the :doc:`configuration reference <config>`.", ""]
    if not dataclasses.is_dataclass(thing) and not hasattr(thing, "_fields"):
        return []
    lines = [""]
    for name, annotation, comment in fields(thing):
        lines += [
            f":ivar {name}: {comment}" if comment else f":ivar {name}:",
            f":vartype {name}: ``{annotation}``",
        ]
    return [*lines, ""]


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


def _comment(lines: list[str]) -> str:
    told = [match[1] for line in lines if (match := re.search(r"  # (.*)$", line))]
    return " ".join(told).replace("|", r"\|").replace("*", r"\*")
