"""The metric answered: the share of questions that got a choice for an answer, until you count something else."""

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import Metric, Scored

FGVR_BENCH_API = "1.0"  # the version of the plugin interface that this is written for


class Answered:
    """Sees every judged response of a run once; its memory must not grow with their number."""

    def __init__(self) -> None:
        self.asked = 0
        self.chosen = 0

    def add(self, scored: Scored) -> None:
        """Take one in: ``scored`` has the question, the response and the answer."""
        self.asked += 1
        self.chosen += scored.answer.choice is not None

    def result(self) -> float | None:
        """Return the figure, or None where the run gives none."""
        return self.chosen / self.asked if self.asked else None


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Tell fgvr-bench of the metric."""
    register(Metric("answered", "Answered", Answered))
