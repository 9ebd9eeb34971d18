"""``polyscale export``: a run's network as ONNX, for programs that have neither polyscale nor torch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from polyscale.cli.options import RUNS, JsonOption, RunArgument, RunsOption


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("export", epilog="Examples: polyscale export last; polyscale export last --out served")(
        export
    )


def export(
    run: RunArgument = "last",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; absent: onnx/ in the run's folder.")
    ] = None,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Write a run's network as ONNX: one window, one step of a stream, and how to feed them."""
    from polyscale.cli import console
    from polyscale.pipeline.run import load_run
    from polyscale.runs.folder import State, find_run

    # what torch's exporter says of packages that are not needed is no news to a person
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    trained = load_run(find_run(runs, run, (State.TRAINED, State.COMPLETE)).path)
    with console.Watch() as watch:
        watch.stage("tracing the network for onnx")
        files = trained.export(out)
    if as_json:
        console.print_json(
            {"run": str(trained.folder.path), **{k: str(v) for k, v in files._asdict().items()}}
        )
        return
    for path in files:
        console.out.print(f"{path}   {path.stat().st_size / 1e6:.1f} MB", highlight=False, markup=False)
