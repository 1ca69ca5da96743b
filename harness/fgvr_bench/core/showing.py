"""How work shows how far it is: bars in a terminal or a notebook, nothing where nobody looks on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from fgvr_bench.core.evaluation import percent
from fgvr_bench.core.watching import Watcher
from fgvr_bench.interfaces import RunInfo, RunResult


def watcher_for(wanted: bool) -> Watcher:
    """Return who shows how runs go: a notebook, a terminal, or nobody."""
    if wanted and in_notebook():
        from fgvr_bench.core.notebooks import NotebookWatcher

        return NotebookWatcher()
    return TerminalWatcher() if wanted and sys.stderr.isatty() else Watcher()


def in_notebook() -> bool:
    """Say whether a notebook runs this code; an IPython in a terminal is a terminal."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def inert(cell: object) -> object:
    """Return the cell without control characters, so that a label cannot move the cursor."""
    return (
        "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in cell)
        if isinstance(cell, str)
        else cell
    )


@contextlib.contextmanager
def bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left while the block runs; yield ``advance(n)``.

    Nothing is drawn where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total)
        yield lambda n: bars.advance(task, n)


class TerminalWatcher(Watcher):
    """A line with bar, rate, time left and running accuracy; nothing of it where there is no terminal."""

    progress = staticmethod(bar)

    def __init__(self) -> None:
        self._bars: Any = None
        self._task: Any = None
        self._shown = 0.0

    def note(self, message: str) -> None:
        sys.stderr.write(f"{inert(message)}\n")
        sys.stderr.flush()

    def started(self, run: RunInfo, target: int) -> None:
        before = f", {run.answered:,} answered before" if run.answered else ""
        self.note(f"{run.model} on {run.dataset}: {target:,} questions{before}")
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("  "),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[accuracy]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bars.start()
        self._task = self._bars.add_task("", total=target, completed=run.answered, rate="", accuracy="")
        self._begun = time.monotonic()

    def advanced(self, answered: int, judged: int, correct: int) -> None:
        now = time.monotonic()
        if self._bars is None or now - self._shown < 0.1:
            return
        self._shown = now
        rate = judged / max(now - self._begun, 1e-9)
        accuracy = f"{percent(correct / judged)} right" if judged else ""
        self._bars.update(self._task, completed=answered, rate=f"{rate:,.0f}/s", accuracy=accuracy)

    def finished(self, result: RunResult) -> None:
        self._end()

    def stopped(self) -> None:
        self._end()

    def _end(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
