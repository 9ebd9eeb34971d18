"""``polyscale features``: what the catalogue holds, as a table, JSON, or the page of the documentation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from polyscale.cli.options import JsonOption
from polyscale.market.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("features", epilog="Examples: polyscale features; polyscale features --group volume")(
        show_features
    )


def show_features(
    group: Annotated[str | None, typer.Option(help="One group of the catalogue; absent: all.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the documentation has it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the features that data.features may name: warm-up, unit, formula."""
    from polyscale.cli import console
    from polyscale.features.catalogue import GROUPS

    if group is not None and group not in GROUPS:
        raise ConfigError(f"--group must be one of {list(GROUPS)}, got {group!r}")
    rows = [row for row in catalogue_rows() if group in (None, row["group"])]
    if as_json:
        console.print_json(rows)
    elif markdown:
        console.out.print(page(rows), markup=False, highlight=False)
    else:
        console.table(
            f"{len(rows)} features",
            ["feature", "group", "warm after", "unit", "meaning"],
            [[row["name"], row["group"], row["warm_up"], row["unit"], row["meaning"]] for row in rows],
            num_text=5,
        )


def catalogue_rows() -> list[dict[str, Any]]:
    """One row per feature, in the order of the catalogue."""
    from polyscale.features.catalogue import GROUPS

    return [
        {
            "name": feature.name,
            "group": group,
            "warm_up": f"{feature.warm_days} days" if feature.warm_days else f"{feature.warm_up} bars",
            "unit": feature.unit,
            "meaning": feature.meaning,
        }
        for group, features in GROUPS.items()
        for feature in features
    ]


def page(rows: list[dict[str, Any]]) -> str:
    """``docs/features.md``."""
    lines = [_HEAD]
    for group in dict.fromkeys(row["group"] for row in rows):
        lines.append(
            f"\n## {group.capitalize()}\n\n| feature | warm after | unit | formula |\n|---|---|---|---|"
        )
        lines += [_line(row) for row in rows if row["group"] == group]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    meaning = row["meaning"].replace("|", "\\|")
    return f"| `{row['name']}` | {row['warm_up']} | {row['unit']} | {meaning} |"


_HEAD = """# Features

Every feature is known at the close of its bar, null until it is warm and wherever a bar that it needs is
missing, and free of the price's and the volume's own unit. *Warm after* counts bars of the scale, the newest
included. `log` of a variance has a floor of 1e-10 per bar inside. One's own is added by a name and a formula:

```python
import polars as pl
from polyscale.features.catalogue import CATALOGUE
from polyscale.features.feature import Feature

gap = (pl.col("open") / pl.col("close").shift(1)).log()
CATALOGUE["gap"] = Feature("gap", gap, 2, "open against the last close")
```

From there on `data.features` of a config may name it; do so before `polyscale.fit` and
`polyscale.load_run`. A formula may also be a function of the bars' arrays
(`polyscale.features.inputs.Inputs`). `polyscale.audit_run` of the run, and `polyscale.audit.check` of any
function, tell whether it looks ahead.

Features of the group *funding* need funding rates beside the bars, those of *market* the bars of at least one
other symbol. Order flow and microstructure cannot come from candles."""
