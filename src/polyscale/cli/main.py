"""The command ``polyscale``: each word reads its options, calls the pipeline, and shows what came of it."""

from __future__ import annotations

import logging
import os
import sys
from importlib import metadata
from typing import Annotated

# before numpy and torch load: threads that wait must not spin a shared core to a standstill, and the small
# matrices of the base forecast are slower on two threads than on one
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from polyscale.cli import (
    audit_command,
    bars_commands,
    demo_command,
    evaluate_command,
    explain_command,
    export_command,
    features_command,
    fetch_command,
    replay_command,
    run_commands,
    search_command,
    stream_command,
    upkeep_commands,
)
from polyscale.market.errors import PolyscaleError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polyscale {metadata.version('polyscale')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """One attention network over several time scales of a market. Try: [bold]polyscale demo[/bold]."""


fetch_command.register(app)
stream_command.register(app)
bars_commands.register(app)
run_commands.register(app)
demo_command.register(app)
replay_command.register(app)
features_command.register(app)
audit_command.register(app)
explain_command.register(app)
search_command.register(app)
evaluate_command.register(app)
export_command.register(app)
upkeep_commands.register(app)


def main() -> None:
    """Entry point: our own errors become one line and exit status 1."""
    logging.getLogger("stamina").setLevel(logging.ERROR)  # a retry that succeeds is no news to a person
    try:
        app()
    except PolyscaleError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
