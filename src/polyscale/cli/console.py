"""What a person sees: tables on standard output, progress on standard error, JSON for machines.

On a terminal progress is a bar; elsewhere it is plain lines, one per stage and epoch.
"""

from __future__ import annotations

import json
import textwrap
import time
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from polyscale.training.progress import EpochReport

_PLAIN_WIDTH = 160  # columns where nobody's terminal says
_NARROW = 110  # columns of a terminal below which an interval stands under its mean
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object on one line of standard output."""
    print(json.dumps(value, allow_nan=False))


def table(title: str, columns: list[str], rows: list[list[str]], num_text: int = 1) -> None:
    """A table; the first columns are text, as many as ``num_text`` says, the others are numbers."""
    shown = Table(box=HEAVY_HEAD)
    if out.is_terminal:  # its columns are for figures, not for lines
        shown.box, shown.pad_edge, shown.padding = SIMPLE_HEAD, False, (0, 1, 0, 0)
    for i, column in enumerate(columns):
        if i < num_text or not out.is_terminal:
            shown.add_column(column, justify="left" if i < num_text else "right", overflow="fold")
        else:  # the head is broken, so that no figure is
            lines = [line for row in rows for line in row[i].splitlines()]
            width = max(map(len, [*lines, *column.split()]), default=1)
            shown.add_column(textwrap.fill(column, width), justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*map(Text, row))  # plain: brackets in a cell are no markup
    page = out if out.is_terminal else Console(width=_PLAIN_WIDTH)
    page.print(Text(title, style="bold"), soft_wrap=True)  # it may be wider than its table
    page.print(shown, soft_wrap=False)


def sentence(text: str) -> None:
    """A sentence behind a dash; on a terminal it is broken between words, not within them."""
    told = f"- {text}"
    if out.is_terminal:
        told = textwrap.fill(
            told, out.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    out.print(told, highlight=False, markup=False)


def spread(mean: str, ends: str) -> str:
    """A mean with its interval for a cell: beside it, or under it on a narrow terminal."""
    return f"{mean}\n{ends}" if out.is_terminal and out.width < _NARROW else f"{mean} {ends}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent, or a dash."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


class Watch:
    """Shows how far a run is; an `Observer` of the pipeline and a context manager."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Watch:
        if err.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(*columns, TimeElapsedColumn(), console=err)
            self._bar.start()
        self.stage("loading")  # torch takes seconds, and a person should see that something happens
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._finish()
            self._bar.stop()

    def stage(self, text: str) -> None:
        """A stage begins."""
        if self._bar is None:
            err.print(f"[{time.monotonic() - self._start:6.1f} s] {text}", markup=False, highlight=False)
        else:
            self._finish()
            self._task = self._bar.add_task(text, total=None, note="")

    def epoch(self, report: EpochReport) -> None:
        """An epoch has ended; losses are in units of the base forecast's."""
        note = f"loss {number(report.train_loss)}, validation {number(report.val_loss)}"
        if report.skipped:
            note += f", {report.skipped} steps skipped: not finite"
        if self._bar is None:
            self.stage(f"epoch {report.epoch} of {report.epochs}: {note}")
        elif self._task is not None:
            self._bar.update(self._task, total=report.epochs, completed=report.epoch, note=note)

    def _finish(self) -> None:
        if self._bar is not None and self._task is not None:
            task = next(task for task in self._bar.tasks if task.id == self._task)
            total = task.total or 1
            self._bar.update(self._task, total=total, completed=total)
