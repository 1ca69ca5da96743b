"""A run's questions held against what its task asks and against what is known here of its dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from fgvr_bench.core.asked import Asker
from fgvr_bench.core.files import digest
from fgvr_bench.core.known import Known
from fgvr_bench.core.option_rows import identity_line
from fgvr_bench.core.records import to_line
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.interfaces import Scored
from fgvr_bench.types import Options, Question

FIELDS = ("question_id", "choices", "target", "letters", "subject", "permutation", "truth_rank")
"""What of a question is compared."""


class Audit:
    """Looks at a run's questions one by one, in the order of the file, up to the first that is wrong.

    Every question is made again from its example's options, and has to come out as it is stored: id, order of
    choices, target, letters.  The options are those of the set that is known here.  Where none is, they are taken
    back out of the questions: what the digest of the set, which is part of the run's identity, then says of them.
    """

    def __init__(self, content: Mapping[str, Any], asker: Asker, known: Known) -> None:
        self.problem = ""
        """What is wrong; empty so far."""
        self.unchecked: list[str] = []
        """What could not be checked."""
        self._content, self._inputs, self._asker, self._known = content, content["inputs"], asker, known
        self._foreign = "imported" in self._inputs
        self._set = self._inputs.get("options") or {}
        self._orders = int(self._inputs.get("permutations") or 1)
        self._labels = tuple(content["labels"])
        self._count, self._last, self._last_id = 0, "", ""
        self._lines, self._rows = hashlib.sha256(), hashlib.sha256()
        self._offered: list[list[Any]] = []
        self._whole = bool(self._set)
        """Whether all options were there or could be taken back."""

    def add(self, scored: Scored) -> None:
        """Take the next answer in."""
        line = to_line(scored.question, scored.response, self._labels)
        self._lines.update(line.encode("utf-8", "surrogatepass") + b"\n")
        if self.problem:
            return
        try:
            self._look_at(scored.question)
        except FgvrError as error:
            self.problem = error.message

    def _look_at(self, question: Question) -> None:
        self._check_place(question)
        example = question.example
        if self._known.truth is not None:
            truth = self._known.truth(example.example_id)
            if truth != example.label:
                what = (
                    f"the right answer is {truth!r}"
                    if truth
                    else f"{self._inputs['dataset']['name']} has no such image"
                )
                raise DataInvalid(f"{question.question_id} is labelled {example.label!r}; {what}.")
        options = self._options_of(question)
        if self._foreign:
            self._check_offered(question, options)
        elif options is not None or not self._set:
            self._check_asked(question, options)
        elif question.subject is not None and (question.subject == example.label) != (question.target == 0):
            raise DataInvalid(
                f"{question.question_id} asks about {question.subject!r} and takes the wrong answer for right."
            )
        self._whole = self._whole and options is not None
        if question.permutation == 0 and options is not None:
            self._rows.update(identity_line(options))

    def _check_place(self, question: Question) -> None:
        """Make sure that questions rise, each once, and every example in all its orders."""
        example_id = question.example.example_id
        due = self._count % self._orders
        name = question.question_id if self._foreign else example_id
        if question.permutation != due or (due and example_id != self._last_id):
            raise DataInvalid(f"{question.question_id} stands where order {due} of a question was due: one is missing.")
        if due == 0 and name <= self._last:
            what = "is there twice" if name == self._last else f"comes after {self._last}"
            raise DataInvalid(f"{question.question_id} {what}.")
        self._count, self._last, self._last_id = self._count + 1, name, example_id

    def _options_of(self, question: Question) -> Options | None:
        if not self._set:
            return None
        if self._known.options is None:
            return None if self._foreign else self._asker.options_of(question)
        found = self._known.options(question.example.example_id)
        if found is None:
            raise DataInvalid(f"{question.question_id} is not asked in {self._known.source}.")
        return Options(question.example.example_id, found.choices, truth_rank=found.truth_rank)

    def _check_asked(self, question: Question, options: Options | None) -> None:
        due = self._asker.again(question, options)
        for name in FIELDS:
            stored, given = getattr(question, name), getattr(due, name)
            if stored != given:
                source = self._known.source if self._known.options is not None else "its task"
                raise DataInvalid(
                    f"{question.question_id} has the {name} {_short(stored)}; {source} gives {_short(given)}."
                )

    def _check_offered(self, question: Question, options: Options | None) -> None:
        """Hold a question that others asked against the options; its order is theirs."""
        self._offered.append([question.example.example_id, sorted(question.choices)])
        if question.target is None or question.choices[question.target] != question.example.label:
            raise DataInvalid(f"{question.question_id} takes a wrong answer for right.")
        if options is not None and sorted(options.choices) != sorted(question.choices):
            raise DataInvalid(
                f"{question.question_id} offers {_short(question.choices)}; {self._known.source} has "
                f"{_short(options.choices)}."
            )

    def problems(self) -> Iterator[str]:
        """Yield what is wrong, once all answers were taken in."""
        if self.problem:
            yield self.problem
        if self._lines.hexdigest() != self._content["responses_sha256"]:
            yield "its responses.jsonl is not as fgvr-bench writes it (fields that are unknown, or spelt otherwise)."
        yield from self._of_labels()
        if self.problem:
            return
        yield from self._of_options()
        yield from self._of_counts()

    def _of_labels(self) -> Iterator[str]:
        asked, known = self._inputs["dataset"], self._known
        stated = asked.get("labels")
        if stated is not None and stated != digest(list(self._labels)):
            yield "its labels are not those whose digest its inputs have."
        if known.labels is not None and known.labels != self._labels:
            yield f"its labels are not those of {asked['name']}."
        if known.images is not None and known.images != asked.get("digest") and not self._foreign:
            if known.vouched:
                yield f"it was asked about other images than those of {asked['name']} (their digests differ)."
            else:
                self.unchecked.append(f"images (its copy of {asked['name']} is another than the one here)")
        self.unchecked += known.absent
        if self._inputs.get("field_guide"):
            self.unchecked.append("field guide (a run keeps the digest of its descriptions alone)")

    def _of_options(self) -> Iterator[str]:
        if not self._set:
            return
        stated = self._set.get("digest")
        if self._foreign:
            if stated != digest(self._offered):
                yield "its questions do not offer the options whose digest its inputs have."
        elif self._known.options_digest is not None:
            if stated != self._known.options_digest:
                yield f"its option set is not {self._known.source} (their digests differ)."
        elif self._inputs.get("subset") is not None:
            self.unchecked.append("digest of the option set (a subset asks about a part of it)")
        elif not self._whole:
            self.unchecked.append("digest of the option set (its questions do not show all options)")
        elif stated != self._rows.hexdigest():
            yield "its questions do not show the options whose digest its inputs have."

    def _of_counts(self) -> Iterator[str]:
        examples = self._count // self._orders
        if self._inputs.get("subset") is not None:
            self.unchecked.append(f"which questions belong to subset {self._inputs['subset'].get('name')}")
        elif self._known.examples not in {None, examples}:
            yield f"it answers {examples:,} of {self._known.examples:,} questions; the others are missing."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
