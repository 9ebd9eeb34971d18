"""References that are made from the code when the site is built: a marker in a page becomes its text.

A page of Markdown holds ``<!-- reference: settings -->`` on a line of its own. What stands there on the site
is written from the pydantic models, the command's own parser, or the modules that exist. Nothing is kept in
a file, so nothing can be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from reference import attributes, chapter, commands, settings

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PARTS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings.markdown,
    "commands": commands.markdown,
    "chapter": chapter.markdown,
}
_MARKER: Final = re.compile(r"^<!-- reference: (\w+) -->$", re.MULTILINE)


def filled(text: str) -> str:
    """A page with its references in the place of their markers; `KeyError` for one that nobody makes."""
    return _MARKER.sub(lambda found: PARTS[found[1]](), text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    app.connect("env-get-outdated", _always)
    app.connect("autodoc-process-docstring", _mend)
    return {"parallel_read_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = filled(source[0])


def _always(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """These pages follow the code, which Sphinx does not watch."""
    return [name for name in env.found_docs if name.startswith("reference/")]


def _mend(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Classes have their fields; what a module says of its file is for those who read the file."""
    if what == "class":
        lines.extend(attributes.rest(thing))
    elif what == "module":
        lines.clear()
