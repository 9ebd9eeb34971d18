"""The names of `polyscale.chapter` for the API page, in the order in which the module lists them."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Final

MODULE: Final = "polyscale.chapter"


def names() -> list[str]:
    """What the module says that it has; nothing where it is not there."""
    if find_spec(MODULE) is None:
        return []
    return [name for name in import_module(MODULE).__all__ if not name.startswith("__")]


def markdown() -> str:
    """A directive of autodoc for every name."""
    module = import_module(MODULE) if names() else None
    directives = [_directive(name, getattr(module, name)) for name in names()]
    return "\n".join(["```{eval-rst}", *directives, "```", ""]) if directives else ""


def _directive(name: str, thing: object) -> str:
    if inspect.isclass(thing):
        return f".. autoclass:: {MODULE}.{name}\n   :members:\n"
    return f".. {'autofunction' if callable(thing) else 'autodata'}:: {MODULE}.{name}\n"
