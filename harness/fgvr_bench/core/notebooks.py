"""How far runs are, in a notebook: one line that changes, with nothing to install beside it."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from fgvr_bench.core.evaluation import main_metric, percent
from fgvr_bench.core.showing import inert
from fgvr_bench.core.watching import Watcher
from fgvr_bench.interfaces import RunInfo, RunResult

SECONDS = 0.25
"""A line changes no more often; each change is a message to a browser."""


class Line:
    """A line of output that can be changed."""

    def __init__(self, text: str) -> None:
        import IPython.display

        self._shown = time.monotonic()
        self._handle: Any = IPython.display.display(_Shown(text), display_id=True)

    def show(self, text: str, done: float | None = None, *, now: bool = False) -> None:
        """Change it, if the last change was some time ago; `done` is a share of 1, shown as a bar."""
        moment = time.monotonic()
        if now or moment - self._shown >= SECONDS:
            self._shown = moment
            self._handle.update(_Shown(text, done))


class _Shown:
    """Text, with a bar before it where there is one to show; both as words and as HTML."""

    def __init__(self, text: str, done: float | None = None) -> None:
        self._text, self._done = str(inert(text)), done

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        bar = "" if self._done is None else f'<progress max="1" value="{self._done:.3f}"></progress> '
        return f"<div>{bar}{html.escape(self._text)}</div>"


@contextlib.contextmanager
def line(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a line with a bar while the block runs, and nothing of it afterwards; yield ``advance(n)``."""
    shown, done = Line(f"{description} ..."), 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        shown.show(f"{description}: {done:,}" + (f" of {total:,}" if total else ""), done / total if total else None)

    try:
        yield advance
    finally:
        shown.show("", now=True)


class NotebookWatcher(Watcher):
    """A line a run."""

    progress = staticmethod(line)

    def __init__(self) -> None:
        self._line: Any = None
        self._name = ""
        self._target = 0

    def note(self, message: str) -> None:
        sys.stdout.write(f"{inert(message)}\n")

    def started(self, run: RunInfo, target: int) -> None:
        self._name, self._target = f"{run.model} on {run.dataset}", target
        self._line = Line(f"{self._name}: {run.answered:,} of {target:,} questions")
        self._begun = time.monotonic()

    def advanced(self, answered: int, judged: int, correct: int) -> None:
        answered = min(answered, self._target)  # a batch is asked whole
        rate = judged / max(time.monotonic() - self._begun, 1e-9)
        right = f", {percent(correct / judged)} right" if judged else ""
        text = f"{self._name}: {answered:,} of {self._target:,} questions, {rate:,.0f}/s{right}"
        self._line.show(text, answered / max(self._target, 1))

    def finished(self, result: RunResult) -> None:
        if self._line is not None:
            self._line.show(f"{self._name}: {result.questions:,} questions, {percent(main_metric(result))}", now=True)
            self._line = None

    def stopped(self) -> None:
        if self._line is not None:
            self._line.show(f"{self._name}: stopped", now=True)
            self._line = None
