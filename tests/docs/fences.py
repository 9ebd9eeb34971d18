"""The pages of the documentation, and the code blocks on them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Fence:
    """A code block: where it is, its language, its text."""

    page: str
    line: int  # of its first line of code
    language: str
    text: str

    @property
    def where(self):
        return f"{self.page}:{self.line}"


def pages():
    """Paths from the root: the READMEs, and all of docs but the log and the decisions."""
    found = [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")]
    names = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return [name for name in names if name != "docs/log.md" and not name.startswith("docs/decisions/")]


def fences(page, *languages):
    """Blocks of a page in their order; of these languages, if any are named."""
    text = (ROOT / page).read_text(encoding="utf-8")
    every = []
    for match in _FENCE.finditer(text):
        indent, language, code = match.groups()
        lines = "\n".join(line.removeprefix(indent) for line in code.splitlines())
        every.append(Fence(page, text.count("\n", 0, match.start(3)) + 1, language.strip(), lines + "\n"))
    return [fence for fence in every if not languages or fence.language in languages]


def all_fences(*languages):
    """Blocks of all pages."""
    return [fence for page in pages() for fence in fences(page, *languages)]
