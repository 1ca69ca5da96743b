"""One run looked through: is it what it claims, which answers are right, and what was asked.

This is the slow way, a line of responses at a time; `core/index.py` remembers what it found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.host import Host
from fgvr_bench.core.judged import judged, task_of
from fgvr_bench.core.run_folder import SEAL, RunFolder, run_id, sealed
from fgvr_bench.core.scoring import Scorer, metrics_of
from fgvr_bench.errors import DataInvalid
from fgvr_bench.interfaces import Scored
from fgvr_bench.types import Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CHOICES = 26
"""Questions with more choices are asked over all labels; those give nothing away."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What statistics need of the questions that runs of one column were asked; shared by those runs."""

    digest: str
    """SHA-256 over id, class and choices of each question, in canonical order; the order of choices aside."""
    clusters: NDArray[np.int32]
    """Number of each question's class, classes numbered in the order in which they come."""
    chance: float | None
    """Accuracy of guessing: the mean of 1 / choices; None for open questions."""
    blind: float | None
    """Accuracy of naive Bayes over the choices, without a picture (`core/option_audit.py`); None where the
    choices are the same in every question."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0


@dataclass(frozen=True, slots=True)
class Checked:
    """A run that is what it claims to be."""

    correct: NDArray[np.bool_]
    """Whether each answer is right, in canonical order."""
    questions: Questions
    positions: Mapping[str, list[int]]
    """Letters by position, see `scoring.Scorer`."""


def check_run(
    host: Host,
    folder: Path,
    content: Mapping[str, Any],
    known: MutableMapping[str, Questions],
    also: Callable[[Scored], None] | None = None,
) -> Checked:
    """Judge every response of a complete run again, and compare all that its ``run.json`` claims.

    Checked are: the digest of its fields, the id against the inputs, the digest of the responses, the counts, and
    every figure.

    Args:
        host: plugins, for the protocol that judges.
        folder: the run's folder.
        content: its ``run.json``.
        known: questions by their digests, taken from here and added here.
        also: told every judged response.

    Raises:
        FgvrError: something is not what it claims; says what, and what to type.
    """
    import numpy as np

    path = RunFolder(folder)
    check_identity(path, content)
    reader = _Reader()
    task = task_of(host, content)
    scorer = Scorer(task, [metric for metric in metrics_of(host, task) if metric.name in content["metrics"]])
    for scored in judged(host, path, content, task):
        reader.add(scored)
        scorer.count(scored)
        if also is not None:
            also(scored)
    _check_figures(path, content, scorer)
    digest = reader.digest()
    if digest not in known:
        known[digest] = reader.questions(digest, content["labels"])
    return Checked(np.array(reader.correct, bool), known[digest], scorer.positions)


def check_identity(path: RunFolder, content: Mapping[str, Any]) -> None:
    """Make sure that a ``run.json`` was not changed since it was written, and is headed as its inputs say.

    Raises:
        DataInvalid: it was changed; says where.
    """
    if SEAL in content and content[SEAL] != sealed(content)[SEAL]:
        raise DataInvalid(
            f"{path.run_file} was changed since it was written: its fields do not give its {SEAL}.",
            hint="Restore it, or run again.",
        )
    if run_id(content["inputs"]) != content["run_id"]:
        raise DataInvalid(
            f"{path.run_file} was changed by hand: its id {content['run_id']} is not that of its inputs "
            f"({run_id(content['inputs'])}).",
            hint="Restore it, or run again.",
        )
    named = content["inputs"].get("model", {}).get("name"), content["inputs"].get("dataset", {}).get("name")
    if named != (content["model"], content["dataset"]):
        raise DataInvalid(
            f"{path.run_file} was changed by hand: it is headed {content['model']} on {content['dataset']}, and its "
            f"inputs name {named[0]} on {named[1]}.",
            hint="Restore it, or run again.",
        )


def _check_figures(path: RunFolder, content: Mapping[str, Any], scorer: Scorer) -> None:
    if (scorer.answered, scorer.failed) != (content["questions"], content["failed"]):
        raise DataInvalid(
            f"{path.run_file} claims {content['questions']:,} answers, {content['failed']:,} of them failed; "
            f"{path.responses_file.name} has {scorer.answered:,} and {scorer.failed:,}.",
            hint="Restore it, or run again with --fresh.",
        )
    found = scorer.results()
    wrong = [name for name, value in found.items() if content["metrics"][name] != value]
    if wrong:
        claims = ", ".join(f"{name} {content['metrics'][name]} (they give {found[name]})" for name in wrong[:3])
        raise DataInvalid(
            f"{path.run_file} claims figures that its responses do not give: {claims}.",
            hint=f"If a newer version should score it: fgvr-bench score {path.path} --write",
        )


@dataclass(slots=True)
class _Reader:
    """Collects what is kept of each answer."""

    correct: list[bool] = field(default_factory=list)
    _hasher: Any = field(default_factory=hashlib.sha256)
    _classes: dict[str, int] = field(default_factory=dict)
    _clusters: list[int] = field(default_factory=list)
    _inverse: list[int] = field(default_factory=list)
    """Number of choices of each question; 0 for an open one."""
    _offered: list[tuple[str, ...]] = field(default_factory=list)
    """Choices of each example once, the truth first."""
    _last: str = ""

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        question = scored.question
        self.correct.append(scored.answer.correct)
        self._clusters.append(self._classes.setdefault(question.example.label, len(self._classes)))
        self._inverse.append(len(question.choices) if question.target is not None else 0)
        choices = sorted(question.choices) if len(question.choices) <= MOST_CHOICES else len(question.choices)
        asked = [question.question_id, question.example.label, question.subject, choices]
        self._hasher.update(canonical_json(asked).encode() + b"\n")
        self._add_options(question)

    def _add_options(self, question: Question) -> None:
        example_id = question.example.example_id
        if question.target is None or len(question.choices) > MOST_CHOICES or example_id == self._last:
            return  # open, over all labels, or another order of the same choices
        self._last = example_id
        truth = question.choices[question.target]
        self._offered.append((truth, *(choice for choice in question.choices if choice != truth)))

    def digest(self) -> str:
        """Return the digest of the questions so far."""
        return str(self._hasher.hexdigest())

    def questions(self, digest: str, labels: list[str]) -> Questions:
        """Return what statistics need of the questions so far."""
        import numpy as np

        counts = np.array(self._inverse)
        chance = float((1 / counts).mean()) if len(counts) and counts.all() else None
        clusters = np.array(self._clusters, np.int32)
        return Questions(digest, clusters, chance, self._blind(labels))

    def _blind(self, labels: list[str]) -> float | None:
        """Return what the choices alone give away; needs several sets of choices, and enough of them."""
        import numpy as np

        from fgvr_bench.core.option_audit import FEWEST, image_blind_accuracy

        if len(self._offered) < FEWEST or len({frozenset(each) for each in self._offered}) < 2:
            return None
        numbers = {label: number for number, label in enumerate(labels)}
        rows = np.full((len(self._offered), max(map(len, self._offered))), -1, np.int64)
        for row, offered in enumerate(self._offered):
            rows[row, : len(offered)] = [numbers.setdefault(choice, len(numbers)) for choice in offered]
        return round(image_blind_accuracy(rows), 4)
