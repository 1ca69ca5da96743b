"""Who is told how a run goes."""

from __future__ import annotations

from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.interfaces import RunInfo, RunResult


class Watcher:
    """Told how runs go, in the parent process; this one ignores it all."""

    progress: Progress = staticmethod(quiet)

    def note(self, message: str) -> None:
        """Something a user should know."""

    def started(self, run: RunInfo, target: int) -> None:
        """A run is about to ask its next question; `target` questions will have been answered at its end."""

    def advanced(self, answered: int, judged: int, correct: int) -> None:
        """`answered` questions are on disk; of the `judged` ones of this execution `correct` were right."""

    def finished(self, result: RunResult) -> None:
        """A run ended with all its files written."""

    def stopped(self) -> None:
        """A run ended before its time; the error that follows says why."""
