"""How a set of problems stands, on a terminal: a bar with counts by status; elsewhere a line now and then."""

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sirdar.optim.records import Solved, counts

LINE_EVERY_S = 10.0


class Bar:
    """Shows records as they come. ``total`` None: nobody knows yet; ``wanted`` None: on a terminal or in a notebook only; False:
    never."""

    def __init__(self, total: int | None, label: str, wanted: bool | None, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._lively = self._console.is_terminal or self._console.is_jupyter
        self._on = self._lively if wanted is None else wanted
        self._label = label
        self._total = total
        self._said_at = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "Bar":
        if self._on and self._lively:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[words]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console)
            self._bar.add_task(self._label, total=self._total, words="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """What must be said whether progress is wanted or not, above the bar where there is one."""
        self._console.print(f"{self._label}: {text}", highlight=False, markup=False, soft_wrap=True)

    def written(self, count: int) -> None:
        """So many problems are there by now, before the first record."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], words=f"{count} written")

    def expect(self, total: int) -> None:
        """So many records will come in all."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)

    def show(self, records: Mapping[int, Solved], last: Solved | None) -> None:
        """``last``: the record that came last."""
        if not self._on:
            return
        words = said(records, last)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=len(records), words=words)
        elif len(records) == self._total or time.monotonic() - self._said_at > LINE_EVERY_S:
            self._said_at = time.monotonic()
            self._console.print(f"{self._label}: {len(records)}/{self._total} {words}", highlight=False, markup=False)


def said(records: Mapping[int, Solved], last: Solved | None) -> str:
    """``7 optimal, 1 infeasible; p3: optimal, objective 17.014``."""
    words = ", ".join(f"{number} {status}" for status, number in counts(records).items())
    return f"{words}; {last.name}: {last.status}{_value(last)}" if last is not None else words


def _value(record: Solved) -> str:
    return "" if record.objective is None else f", objective {record.objective:.6g}"
