"""Figures that pages tell, held against the files that keep them (`docs/figures/*.json`).

A template is a piece of a page in which a field stands for each figure: ``{btc.1h.network:.3f}`` is the value
under ``figures`` of btc.json, with three decimals. Formats are Python's, and two more: ``2s`` rounds to two
digits that count, with commas; ``/1000`` behind the key divides. Spaces stand for any space or line break.
"""

import json
import math
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures"
FIELD = re.compile(r"\{([\w.]+?)(?:/([\d.]+))?:([^}]+)\}")
NUMBER = r"([+−-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"


@cache
def kept(name):
    """A file of figures, whole."""
    path = FIGURES / f"{name}.json"
    assert path.is_file(), f"docs/figures/{name}.json does not exist"
    return json.loads(path.read_text())


def figure(key):
    """The value of ``file.key.key``."""
    name, *keys = key.split(".")
    value = kept(name)["figures"]
    for each in keys:
        assert each in value, f"docs/figures/{name}.json has no {each!r} of {key!r}, only {list(value)}"
        value = value[each]
    return value


def written(key, by, form):
    """A figure as a page writes it."""
    value = figure(key) / float(by) if by else figure(key)
    if form.endswith("s"):
        digits = int(form[:-1])
        return f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):,.0f}"
    return format(value, form)


def plain(number):
    """A number of a page with Python's minus and without a plus."""
    return number.replace("−", "-").removeprefix("+")


def searched(template):
    """The expression that finds a template on a page, whatever its numbers are."""
    parts = FIELD.sub("\0", template).split("\0")
    spaced = [r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in parts]
    return re.compile(NUMBER.join(spaced))


def faults(page, text, template):
    """What a page says of a template that its files do not; and where on the page it says it."""
    told, spans = [], []
    fields = FIELD.findall(template)
    for match in searched(template).finditer(text):
        spans.append(match.span())
        for (key, by, form), number in zip(fields, match.groups(), strict=True):
            wanted = written(key, by, form)
            if plain(number) != plain(wanted):
                told.append(f"{page}: {number} in '{match[0]}', but {key} is {wanted}")
    if not spans:
        told.append(
            f"{page} no longer says '{template}': mend the page, or its template in tests/docs/claims.py"
        )
    return told, spans
