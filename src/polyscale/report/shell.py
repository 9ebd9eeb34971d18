"""What every page is put into: head, verdict, sections, and Plotly's script; no load is allowed.

In: a `Shell`. Out: the page as text. A content security policy forbids every load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from polyscale.report import palette
from polyscale.report.section import Section, Table


@dataclass(frozen=True)
class Chapter:
    """One symbol's sections; their ids carry a prefix where there are several symbols."""

    symbol: str
    prefix: str
    sections: list[Section]


@dataclass(frozen=True)
class Shell:
    """The parts of a page, from top to bottom."""

    title: str
    period: str  # one line: of what, from when to when
    badge: str  # HTML; empty where there is none
    simulated: bool  # the market was made up: a banner says so
    verdict: Sequence[tuple[str, str]]  # the whole, then claims: a head that ends in a colon, and the rest
    opening: Sequence[Section] = field(default=())  # of all symbols together
    chapters: Sequence[Chapter] = field(default=())
    closing: Sequence[Section] = field(default=())


def in_shell(shell: Shell) -> str:
    """Write the page."""
    environment = Environment(
        loader=PackageLoader("polyscale", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tied"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    return environment.get_template("page.html.j2").render(
        title=shell.title,
        period=shell.period,
        badge=shell.badge,
        simulated=shell.simulated,
        verdict=shell.verdict,
        opening=shell.opening,
        chapters=shell.chapters,
        closing=shell.closing,
        styles={"light": palette.style(dark=False), "dark": palette.style(dark=True)},
        swaps=json.dumps(palette.SWAPS),
        plotly_js=get_plotlyjs(),
    )


def provenance_section(provenance: Mapping[str, object], config_yaml: str) -> Section:
    """What the page was made with; mappings inside are written out."""
    rows = []
    for name, value in provenance.items():
        text = "unknown" if value is None else str(value)
        if isinstance(value, Mapping):
            text = ", ".join(f"{key} {_inside(part)}" for key, part in value.items())
        rows.append((name.replace("_", " "), text))
    table = Table("What this page was made with", ("What", "Value"), rows)
    return Section("provenance", "Provenance", [], [], [table], code=config_yaml)


def _inside(part: object) -> str:
    """A value inside of a mapping; one more mapping loses its braces."""
    if isinstance(part, Mapping):
        return ", ".join(f"{key} {value}" for key, value in part.items())
    return str(part)
