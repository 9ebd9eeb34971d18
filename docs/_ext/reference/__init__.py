"""References that are made from the code when the site is built: a marker in a page becomes its text.

A page of Markdown holds ``<!-- reference: settings -->`` on a line of its own. What stands there on the site
is written from the pydantic models, the command's own parser, or the modules that exist. Nothing is kept in
a file, so nothing can be out of date. Sphinx comes in `reference.extension` alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from reference import chapter, commands, settings

PARTS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings.markdown,
    "commands": commands.markdown,
    "chapter": chapter.markdown,
}
_MARKER: Final = re.compile(r"^<!-- reference: (\w+) -->$", re.MULTILINE)


def filled(text: str) -> str:
    """A page with its references in the place of their markers; `KeyError` for one that nobody makes."""
    return _MARKER.sub(lambda found: PARTS[found[1]](), text)
