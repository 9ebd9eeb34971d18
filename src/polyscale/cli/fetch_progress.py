"""How far a fetch is: a bar with an estimate on a terminal, else a line per tenth."""

from __future__ import annotations

from collections.abc import Callable

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from polyscale.cli.console import err


class FetchProgress:
    """A context manager; `begin` gives the callback of one series, called with units done and in all."""

    def __init__(self, unit: str = "pages") -> None:
        self._unit = unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
        )

    def __enter__(self) -> FetchProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the bars as they stand, but for those of series for which there was nothing to do."""
        for task in self._bar.tasks:
            if task.total is None:
                self._bar.remove_task(task.id)
        self._bar.stop()

    def begin(self, series: str) -> Callable[[int, int], None]:
        """A series begins; what comes back is its callback."""
        if not err.is_terminal:
            return _lines(series, self._unit)
        task = self._bar.add_task(series, total=None)
        return lambda done, of: self._bar.update(task, completed=done, total=of)


def _lines(series: str, unit: str) -> Callable[[int, int], None]:
    def tell(done: int, of: int) -> None:
        if done == of or done * 10 // of > (done - 1) * 10 // of:
            err.print(f"{series}: {done:,} of {of:,} {unit}", markup=False, highlight=False)

    return tell
