"""What a metric can get wrong."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterable
from typing import Any

from fgvr_bench.core.records import from_line, rounded, to_line
from fgvr_bench.interfaces import Accumulator, Metric, Scored
from fgvr_bench.testing.cards import look_at_name
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.judged import RUNS, judged_run, long_run
from fgvr_bench.testing.toys import LABELS

MANY = 2_000
"""Questions over which an accumulator must not grow."""
GROWTH = 4
"""Bytes a question that it may grow by, as counts do when they get another digit."""


def check_metric(metric: Metric) -> None:
    """Check a metric: its name, and its figure of runs of every kind, asked for in every way that a run asks.

    Args:
        metric: what the plugin registers.

    Raises:
        PluginFault: names everything that is wrong.
    """
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Metric {metric.name!r}")
    look_at_name(found, "metric", Metric, metric)
    title = metric.title
    if not isinstance(title, str) or not title.strip() or title != title.strip():
        found.wrong(f"Its title is {title!r}; it is what stands above its column, without stray spaces.")
    if _look_at_start(found, metric):
        figures = {name: _look_at_figure(found, metric, name) for name in RUNS}
        _look_at_company(found, metric, figures)
        _look_at_storage(found, metric, figures)
        _look_at_memory(found, metric)
    found.settle()


def _look_at_start(found: Findings, metric: Metric) -> bool:
    if not callable(metric.start):
        found.wrong(
            f"Its start is a {type(metric.start).__name__}; it is called for each run and returns a fresh accumulator. "
            "Hand over the class itself, not an instance of it."
        )
        return False
    try:
        one, other = metric.start(), metric.start()
    except Exception as problem:
        found.wrong(f"start() raises {described(problem)}.")
        return False
    lacks = [name for name in ("add", "result") if not callable(getattr(one, name, None))]
    if lacks:
        found.wrong(f"start() returns a {type(one).__name__} without {' and '.join(lacks)}().")
    elif one is other:
        found.wrong("start() returns the accumulator of the run before. Make a fresh one each time.")
    return not lacks


def _look_at_figure(found: Findings, metric: Metric, name: str) -> float | None:
    """Return the figure of one run, None where there is none or it cannot be had."""
    figure: Any = None
    with found.trying(f"In a run {name}, it"), poisoned(21), watched() as moved:
        running = _fed(metric, judged_run(name))
        figure = running.result()
        if not _same(figure, running.result()):
            found.wrong(f"In a run {name}, result() gives another figure when it is asked again.")
    if moved:
        found.wrong(f"It moves the global generator of {' and '.join(moved)}. A figure is not drawn by lot.")
    if figure is None:
        return None
    if isinstance(figure, bool) or not isinstance(figure, int | float):
        found.wrong(f"In a run {name}, result() returns a {type(figure).__name__}. Return a float, or None for none.")
        return None
    if not math.isfinite(figure):
        found.wrong(f"In a run {name}, result() returns {figure}. Return None where the run gives no figure.")
    elif metric.share and not 0 <= figure <= 1:
        found.wrong(
            f"In a run {name}, result() returns {figure:g}, and it is a share of 1. "
            "Divide it, or register it with share=False."
        )
    return float(figure)


def _look_at_company(found: Findings, metric: Metric, figures: dict[str, float | None]) -> None:
    """Start the accumulators of all runs together: none may see what another was told."""
    with found.trying("Counting two runs side by side, it"), poisoned(22):
        running = {name: metric.start() for name in RUNS}
        for name, accumulator in running.items():
            for scored in judged_run(name):
                accumulator.add(scored)
        for name, accumulator in running.items():
            if not _same(accumulator.result(), figures[name]):
                found.wrong(
                    f"The figure of a run {name} is another one beside other runs, or at another time. Count in the "
                    "accumulator alone, nothing in its class or module, and draw nothing by lot."
                )
                return


def _look_at_storage(found: Findings, metric: Metric, figures: dict[str, float | None]) -> None:
    """Count what is read back from a file of results: ``fgvr-bench score`` does nothing else."""
    for name in RUNS:
        with found.trying(f"In a run {name} that is scored again from its file, it"):
            figure = _fed(metric, map(_stored, judged_run(name))).result()
            if not _same(figure, figures[name]):
                found.wrong(
                    f"In a run {name} it gives {figures[name]}, and {figure} when the run is scored again from its "
                    "file. A file of results holds no images and no metadata: count questions, responses and answers."
                )


def _stored(scored: Scored) -> Scored:
    line = to_line(scored.question, rounded(scored.response), LABELS)
    return Scored(*from_line(line, LABELS), scored.answer)


def _look_at_memory(found: Findings, metric: Metric) -> None:
    if tracemalloc.is_tracing():  # somebody else's measurement, which is not to be spoilt
        return
    tracemalloc.start()
    held = []
    try:
        running = metric.start()
        for number, scored in enumerate(long_run(MANY * 5 // 4 + 1)):
            running.add(scored)
            if number in (MANY // 4, MANY * 5 // 4):
                held.append(tracemalloc.get_traced_memory()[0])
    except Exception:  # told already
        return
    finally:
        tracemalloc.stop()
    grown = (held[1] - held[0]) / MANY
    if grown > GROWTH:
        found.wrong(
            f"Its memory grows by {grown:.0f} bytes a question. Keep sums and counts, not the answers: a run may have "
            "millions."
        )


def _fed(metric: Metric, run: Iterable[Scored]) -> Accumulator:
    running = metric.start()
    for scored in run:
        running.add(scored)
    return running


def _same(one: Any, other: Any) -> bool:
    """Say whether two figures are one; what is no number is its own fault."""
    try:
        return bool(one == other or (one is not None and other is not None and math.isclose(one, other)) or one != one)
    except TypeError:
        return True
