"""What `fgvr_bench.evaluate` returns: finished runs that show themselves as a table, and give their responses."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.host import Host, host
from fgvr_bench.core.judged import judged, judged_so_far
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import RunResult, Scored

if TYPE_CHECKING:
    import pandas as pd

HEADERS = ("model", "dataset", "split", "task", "accuracy", "questions", "failed", "results in")


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Sequence[RunResult]):
    """Finished runs, in the order in which they were asked for.

    Shows itself as a table, in a terminal as in a notebook; iterates over its runs.
    """

    results: tuple[RunResult, ...]
    """The finished runs."""
    errors: tuple[FgvrError, ...] = ()
    """What kept other runs from finishing, in the order in which they were asked for."""
    plugins: Host | None = field(default=None, compare=False)
    """The plugins that it ran with; None is all that are installed."""

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a run: what was asked, number of questions, failed and the metrics (shares of 1), folder."""
        import pandas as pd

        return pd.DataFrame([self._row(result) for result in self.results])

    def responses(self, run: RunResult | int | None = None) -> pd.DataFrame:
        """Return a row a response, as it was judged.

        Columns: model, dataset, example_id, label, choices (as shown), target and choice (as words; None where an
        answer names none), correct, rule (of the parser), completion, scores (one a choice), error.

        Args:
            run: one of the runs, or its place; None takes all of them.

        Raises:
            FgvrError: the responses are gone or damaged.
        """
        import pandas as pd

        runs = self.results if run is None else (self.results[run] if isinstance(run, int) else run,)
        rows = [_response(result, scored) for result in runs for scored in self.judged(result)]
        return pd.DataFrame(rows, columns=RESPONSE)

    def judged(self, run: RunResult | int = 0) -> Iterator[Scored]:
        """Yield question, response and verdict of each answer of a run, in constant memory.

        They stand in the order of questions, not in that in which they were asked.  Of a partial run these are all
        answers on disk, which may be some more than its figures are of: a batch is always asked whole.

        Raises:
            FgvrError: the responses are gone or damaged.
        """
        result = self.results[run] if isinstance(run, int) else run
        folder = RunFolder(result.folder)
        content = folder.read_run()
        if content is None:
            raise FgvrError(f"{result.folder} holds no run any more.", hint="Evaluate again.")
        plugins = self.plugins or host()
        return judged(plugins, folder, content) if content["complete"] else judged_so_far(plugins, folder, content)

    @staticmethod
    def _row(result: RunResult) -> dict[str, Any]:
        asked: Any = result.inputs["dataset"]
        return {
            "model": result.model,
            "dataset": result.dataset,
            "split": asked["split"],
            "protocol": result.inputs["protocol"],
            "task": result.inputs["task"],
            "questions": result.questions,
            "complete": result.complete,
            "failed": result.failed / max(result.questions, 1),
            **result.metrics,
            "run_id": result.run_id,
            "folder": str(result.folder),
        }

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for result in self.results:
            row = self._row(result)
            questions = f"{result.questions:,}" + ("" if result.complete else " (partial)")
            figures = (percent(main_metric(result)), questions, f"{result.failed:,}")
            yield row["model"], row["dataset"], row["split"], row["task"], *figures, row["folder"]

    def __str__(self) -> str:
        from tabulate import tabulate

        return tabulate(list(self._cells()), headers=HEADERS, disable_numparse=True)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], kind: str) -> str:
            return "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._cells())
        return f"<table><thead>{row(HEADERS, 'th')}</thead><tbody>{body}</tbody></table>"


RESPONSE = (
    "model",
    "dataset",
    "example_id",
    "label",
    "choices",
    "target",
    "choice",
    "correct",
    "rule",
    "completion",
    "scores",
    "error",
)


def _response(result: RunResult, scored: Scored) -> tuple[Any, ...]:
    question, response, answer = scored.question, scored.response, scored.answer

    def word(place: int | None) -> str | None:
        return question.choices[place] if place is not None and place < len(question.choices) else None

    return (
        result.model,
        result.dataset,
        question.example.example_id,
        question.example.label,
        question.choices,
        word(question.target),
        word(answer.choice),
        answer.correct,
        answer.rule,
        response.completion,
        response.scores,
        response.error,
    )


def main_metric(result: RunResult) -> float | None:
    """Return the figure of the task's first metric."""
    return next(iter(result.metrics.values()), None)


def percent(share: float | None) -> str:
    """Return a share of 1 in percent with one decimal, or a dash.

    >>> percent(0.6741), percent(None)
    ('67.4 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"
