"""The badge of the look-ahead audit, at the top of the page; set anew without making the page again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

_PLACE = re.compile(r'<p class="badge [a-z]+" id="audit">.*?</p>', re.DOTALL)


def badge(audit: Mapping[str, Any] | None) -> str:
    """HTML of what the audit of a run said; None where there was none.

    Parameters
    ----------
    audit
        ``clean``, ``findings``, ``cuts``, ``depth`` and ``made_at``, as audit.json has them.
    """
    if audit is None:
        return _html("open", "Not audited for look-ahead", "polyscale audit last does it")
    when = str(audit["made_at"])[:10]
    what = f"{audit['cuts']} cuts, {audit['depth']}, {when}"
    if audit["clean"]:
        return _html("clean", "Look-ahead audit: clean", what)
    number = len(audit["findings"])
    return _html(
        "leak", f"Look-ahead audit: {number} finding{'' if number == 1 else 's'}", f"{what}; see audit.json"
    )


def set_badge(page: str, audit: Mapping[str, Any] | None) -> str:
    """The page with the badge of another audit; at the end of its head where there was none."""
    if _PLACE.search(page) is None:
        return page.replace("</header>", f"{badge(audit)}</header>", 1)
    return _PLACE.sub(lambda _: badge(audit), page, count=1)


def _html(kind: str, head: str, rest: str) -> str:
    return f'<p class="badge {kind}" id="audit"><b>{escape(head)}</b> <span>{escape(rest)}</span></p>'
