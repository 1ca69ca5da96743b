"""How training shows itself on a terminal: a bar with the loss, and a line a logged step."""

from __future__ import annotations

from typing import Any

from fgvr_bench.cli.output import note, progress
from finedefics.logbook import StepRecord, TrainingWatcher

NAMES = {"align": "stage I (align)", "tune": "stage II (tune)"}


class TerminalTrainingWatcher(TrainingWatcher):
    """Lines on standard error; below them a bar, where that is a terminal."""

    progress = staticmethod(progress)

    def __init__(self, bar: bool) -> None:
        self._wanted = bar
        self._bars: Any = None
        self._task: Any = None

    def note(self, message: str) -> None:
        """Show a line above the bar."""
        if self._bars is not None:
            self._bars.console.print(message, markup=False, highlight=False)
        else:
            note(message)

    def started(self, stage: str, first: int, steps: int) -> None:
        """Say what begins, and open the bar."""
        goes_on = f", from step {first} on" if first else ""
        self.note(f"{NAMES[stage]}: {steps:,} steps{goes_on}" if first < steps else f"{NAMES[stage]}: done already")
        if not self._wanted or first >= steps:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("  "), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[loss]}"), console=Console(stderr=True), transient=True)
        self._bars.start()
        self._task = self._bars.add_task("", total=steps, completed=first, loss="")

    def stepped(self, step: int) -> None:
        """Move the bar."""
        if self._bars is not None:
            self._bars.update(self._task, completed=step)

    def logged(self, record: StepRecord) -> None:
        """Show a line with each term of the loss."""
        self.note(f"  {record.words()}")
        if self._bars is not None:
            self._bars.update(self._task, loss=f"loss {record.loss:.4f}")

    def finished(self) -> None:
        """Close the bar."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
