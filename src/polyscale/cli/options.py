"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Category(StrEnum):
    """Markets of Bybit."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="POLYSCALE_STORE",
        help="Folder of the store, or s3://BUCKET/PREFIX with the usual AWS_* variables.",
        show_default=True,
    ),
]
RunsOption = Annotated[
    Path, typer.Option("--runs", envvar="POLYSCALE_RUNS", help="Folder of the runs.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="End with one JSON object instead of tables.")]
VenueOption = Annotated[str, typer.Option(help="Venue of the market.")]
CategoryOption = Annotated[str, typer.Option(help="spot, linear or inverse.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        envvar="POLYSCALE_BYBIT_URL",
        help="Address of the exchange: testnet, or a server started with polyscale replay.",
    ),
]
SeedOption = Annotated[int | None, typer.Option(min=0, help="Instead of the config's seed.")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Instead of training.epochs.")]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Forecast origins of a step, instead of training.stretch x stretches_per_batch."
    ),
]
RunArgument = Annotated[str, typer.Argument(help="A run: its folder, its id, or 'last'.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="The same as RUN: a run's folder, a file in it, or FOLDER/last."),
]

STORE = "store"
RUNS = Path("runs")
