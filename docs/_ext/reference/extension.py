"""What Sphinx calls: fill pages, mend docstrings, let long names in tables break."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes

from reference import attributes, chapter, filled

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_INSIDE: Final = re.compile(r"(?<=[_./=,])(?=\w)|(?<=[a-z])(?=[A-Z])")  # places inside a name


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    app.connect("env-get-outdated", _always)
    app.connect("autodoc-process-docstring", _mend, priority=900)  # after napoleon
    app.connect("autodoc-process-signature", _without_types)
    app.connect("autodoc-process-signature", _of_the_chapter)
    app.connect("doctree-read", _let_names_break)
    app.connect("doctree-read", _tie_percent)
    return {"parallel_read_safe": True}


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = filled(source[0])


def _always(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """These pages follow the code, which Sphinx does not watch."""
    return [name for name in env.found_docs if name.startswith("reference/")]


def _mend(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Classes have their fields; what a module says of its file is for those who read the file.

    Of a property napoleon takes what stands before a colon for its type.
    """
    if what == "class":
        lines.extend(attributes.rest(thing))
    elif what == "module":
        lines.clear()
    elif what == "property":
        lines[:] = [*(inspect.getdoc(thing) or "").splitlines(), ""]


def _without_types(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """A class whose fields are listed need not repeat their types where it is called."""
    if what != "class" or not attributes.has_fields(thing):
        return None
    found = inspect.signature(thing)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    return str(inspect.Signature(bare)), None


def _of_the_chapter(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """In the chapter's functions its own names are meant, some of which are names elsewhere too."""
    if not name.startswith(f"{chapter.MODULE}."):
        return None

    def qualified(text: str | None) -> str | None:
        names = "|".join(chapter.names())
        return text and re.sub(rf"(?<![\w.])({names})(?!\w)", rf"{chapter.MODULE}.\1", text)

    return qualified(signature), qualified(returned)


def _let_names_break(app: Sphinx, doctree: nodes.document) -> None:
    """A long name may break after a mark inside it: a table on a narrow screen needs no scrolling then."""
    for literal in doctree.findall(nodes.literal):
        if isinstance(literal.parent, nodes.title) or literal.children[1:]:
            continue
        parts: list[nodes.Node] = []
        for word in _INSIDE.split(literal.astext()):
            parts += [nodes.raw("", "<wbr>", format="html"), nodes.Text(word)]
        literal.children = []
        literal.extend(parts[1:])


def _tie_percent(app: Sphinx, doctree: nodes.document) -> None:
    """A percent sign stays with its number."""
    for text in list(doctree.findall(nodes.Text)):
        if " %" in text and not isinstance(text.parent, nodes.literal_block | nodes.literal):
            text.parent.replace(text, nodes.Text(text.replace(" %", "\N{NO-BREAK SPACE}%")))
