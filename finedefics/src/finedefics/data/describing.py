"""Describing training images with models, in the three steps of the paper.

::

    names of a group   → which attributes tell them apart        (a model, in words)
    image × attribute  → what is seen of it                      (a model, with the picture)
    all that was seen  → one sentence that describes the image   (a model, in words)

Every answer is on disk before it counts, so that what was killed goes on where it stopped and ends with the same
bytes; see `fgvr_bench.core.inquiry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fgvr_bench.core.free_words import FreeQuestion, ready_writer
from fgvr_bench.core.host import Host
from fgvr_bench.core.inquiry import Inquiry
from fgvr_bench.core.inquiry_files import Answers
from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.core.watching import Watcher
from fgvr_bench.interfaces import Decoding, ModelSettings
from finedefics.data.attribute_lists import Lists, lists_in, read_lists
from finedefics.data.descriptions import Described, Descriptions, path_of, writable, write_descriptions
from finedefics.data.outlook import Cost, tokens_of
from finedefics.data.selecting import Wanted, open_dataset, select
from finedefics.data.steps import Groups, Readings, Summaries, attribute_questions
from finedefics.data.wordings import checked_folder, read_prompt

STEPS = ("attributes", "read", "describe")
LONGEST = {"attributes": 256, "read": 48, "describe": 128}
"""Longest answer of each step, in tokens."""
LIKE = 32
"""Questions whose length stands for all of a step's, in estimates."""


@dataclass(frozen=True, slots=True)
class DescribeSettings:
    """What a user asked of ``describe``."""

    dataset: str
    model: str
    """Answers every step that has no model of its own."""
    out: Path
    models: Mapping[str, str] = field(default_factory=dict)
    """A step's own model, by step (`STEPS`)."""
    wanted: Wanted = field(default_factory=Wanted)
    by_taxonomy: bool = False
    """Ask which attributes matter for each lowest rank on its own, in place of the whole dataset."""
    attributes: Path | None = None
    """A file of attributes, in place of the first step."""
    most_attributes: int = 8
    prompts: Path | None = None
    """Folder of prompts in place of the default ones."""
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    """Checkpoint, revision and arguments are those of `model`; device and precision those of every model that is loaded
    here, whichever steps have one."""
    batch_size: int | None = None
    workers: int | None = None
    retry_failed: bool = False
    resume_across: bool = False
    data_roots: tuple[Path, ...] = ()


Agree = Callable[[Sequence[Cost]], bool]
"""Shown what the steps will cost; says whether to go on."""


def describe(
    host: Host, settings: DescribeSettings, watcher: Watcher, agree: Agree | None = None, sample: int = 0
) -> Descriptions | None:
    """Describe the training images of a dataset and write the file.

    Args:
        host: where models and datasets are registered.
        settings: what was asked for.
        watcher: told how it goes.
        agree: shown the costs and asked before it starts; None goes on without.
        sample: before that, the first step and so many batches of the second are asked and timed; the answers count.

    Returns:
        What was written; None where `agree` said no.

    Raises:
        Stopped: at the user's request; everything answered is on disk.
        FgvrError: whatever is unknown, absent or at odds, or keeps it from going on; what is on disk stays.
    """
    writable(settings.out)
    work = Describer(host, settings, watcher)
    if agree is not None and not agree(work.costs(sample)):
        return None
    return work.run()


class Describer:
    """What ``describe`` does; everything is looked up when it is made, and nothing is asked yet."""

    def __init__(self, host: Host, settings: DescribeSettings, watcher: Watcher) -> None:
        self.settings, self.watcher = settings, watcher
        if settings.prompts is not None:
            checked_folder(settings.prompts)
        self.prompts = {step: read_prompt(step, settings.prompts) for step in STEPS}
        dataset = open_dataset(host, settings.dataset, settings.data_roots, settings.wanted.split)
        steps = STEPS if settings.attributes is None else STEPS[1:]
        self.models = {
            step: ready_writer(host, self._model(step), own) for step, own in self._model_settings(host, steps).items()
        }
        self.selected = select(dataset, settings.wanted, watcher.progress)
        ranks = taxonomy_of(dataset) if settings.by_taxonomy else {}
        self.groups = Groups.make(dataset.card.noun, self.selected.labels, ranks)
        self.given = None if settings.attributes is None else read_lists(settings.attributes, self.groups)

    def run(self) -> Descriptions:
        """Ask what is open and write the file."""
        lists = self._lists()
        readings = self._readings(lists)
        read = self._asked("read", readings, "reading attributes off images")
        summaries = Summaries(self.prompts["describe"], self.groups, readings, read, self.selected.examples)
        rows: list[Described] = []
        if len(summaries):
            summed_up = self._asked("describe", summaries, "summing up")
            for number, place in enumerate(summaries.places):
                if description := summaries.description(number, summed_up):
                    example = self.selected.examples[place]
                    values = readings.values(place, read)
                    rows.append(Described(example.example_id, example.label, values, description, path_of(example)))
        return write_descriptions(self.settings.out, self._header(lists, rows), rows)

    def costs(self, sample: int) -> list[Cost]:
        """Return what each step will ask, after the first ones were asked and timed if `sample` is above 0."""
        found: list[Cost] = []
        lists: Lists | None = self.given
        if lists is None:
            asked = self._attribute_questions()
            if sample:
                lists = self._lists()
            first = self._inquiry("attributes", asked)
            if lists is None and first.complete:
                lists = lists_in(first.answers(), self.groups, self.settings.most_attributes)
            found.append(self._cost("attributes", asked, first))
        if lists is None:
            assumed = dict.fromkeys(self.groups.members, ("colour of some part",) * self.settings.most_attributes)
            return [*found, *self._guess(self._readings(assumed), assumed)]
        readings = self._readings(lists)
        reading = self._inquiry("read", readings)
        pace = reading.ask("timing a sample", self.watcher, batches=sample) if sample else None
        rate = None if pace is None else pace.settled_rate
        found.append(replace(self._cost("read", readings, reading), rate=rate))
        if not reading.complete:
            return [*found, self._guessed_summaries(lists, rate)]
        summaries = Summaries(
            self.prompts["describe"], self.groups, readings, reading.answers(), self.selected.examples
        )
        return [*found, self._cost("describe", summaries, self._inquiry("describe", summaries))]

    def _model(self, step: str) -> str:
        return self.settings.models.get(step) or self.settings.model

    def _model_settings(self, host: Host, steps: Sequence[str]) -> dict[str, ModelSettings]:
        """Return each step's settings; where some are answered here and some by servers, precision is the former's."""
        given = self.settings.model_settings
        served = {step: host.models.find(self._model(step))[0].served for step in steps}
        found = {}
        for step in steps:
            own = given if self._model(step) == self.settings.model else ModelSettings(device=given.device)
            dtype = "auto" if served[step] and not all(served.values()) else given.dtype
            found[step] = replace(own, dtype=dtype, decoding=Decoding("generate", LONGEST[step]))
        return found

    def _attribute_questions(self) -> list[FreeQuestion]:
        key = f"{self.selected.name}/{self.selected.split}"
        return attribute_questions(self.prompts["attributes"], self.groups, key, self.settings.most_attributes)

    def _readings(self, lists: Lists) -> Readings:
        return Readings(self.prompts["read"], self.groups, lists, self.selected.examples)

    def _inquiry(self, step: str, questions: Sequence[FreeQuestion]) -> Inquiry:
        selected, settings = self.selected, self.settings
        return Inquiry(
            self.models[step],
            questions,
            {"step": step, "dataset": selected.name, "split": selected.split, "dataset_digest": selected.digest},
            batch_size=settings.batch_size,
            workers=settings.workers,
            resume_across=settings.resume_across,
        )

    def _asked(self, step: str, questions: Sequence[FreeQuestion], what: str) -> Answers:
        """Return a step's answers, asking what is open."""
        inquiry = self._inquiry(step, questions)
        if self.settings.retry_failed and (failed := inquiry.forget_failures()):
            self.watcher.note(f"{failed:,} answers that failed are asked again ({step})")
        inquiry.ask(what, self.watcher)
        answers = inquiry.answers()
        if failed := sum(response.error is not None for response in answers):
            self.watcher.note(
                f"{failed:,} of {len(answers):,} answers failed ({step}), the first with: "
                f"{next(response.error for response in answers if response.error is not None)}"
            )
        return answers

    def _lists(self) -> Lists:
        if self.given is None:
            answers = self._asked("attributes", self._attribute_questions(), "asking for attributes")
            self.given = lists_in(answers, self.groups, self.settings.most_attributes)
            for group, attributes in self.given.items():
                self.watcher.note(f"attributes of {self.groups.called(group)}: {', '.join(attributes)}")
        return self.given

    def _cost(self, step: str, questions: Sequence[FreeQuestion], inquiry: Inquiry) -> Cost:
        to_ask = len(inquiry) - inquiry.answered
        texts = [question.text for question in questions[:LIKE]]
        images = to_ask if step == "read" else 0
        longest = to_ask * LONGEST[step]
        return Cost(step, self.models[step].name, len(inquiry), to_ask, images, tokens_of(texts, to_ask), longest)

    def _guess(self, readings: Readings, lists: Lists) -> list[Cost]:
        """Return upper bounds of the steps that wait for the first one's answers."""
        count = len(readings)
        tokens = tokens_of([question.text for question in readings[:LIKE]], count)
        reading = Cost("read", self.models["read"].name, count, count, count, tokens, count * LONGEST["read"], True)
        return [reading, self._guessed_summaries(lists, None)]

    def _guessed_summaries(self, lists: Lists, rate: float | None) -> Cost:
        """Return an upper bound of the last step; a request takes at most as long as its longer answer."""
        count = len(self.selected.examples)
        text = self.prompts["describe"] + max((": a few words\n".join(each) for each in lists.values()), key=len)
        same = self._model("describe") == self._model("read")
        scaled = rate * LONGEST["read"] / LONGEST["describe"] if rate and same else None
        tokens = tokens_of([text], count)
        return Cost(
            "describe", self.models["describe"].name, count, count, 0, tokens, count * LONGEST["describe"], True, scaled
        )

    def _header(self, lists: Lists, rows: Sequence[Described]) -> dict[str, Any]:
        there = {row.example_id for row in rows}
        selected = self.selected
        return {
            **selected.header(self.settings.wanted),
            "source": "models",
            "attributes": {group: list(attributes) for group, attributes in lists.items()},
            "models": {step: {**model.identity, "name": model.name} for step, model in self.models.items()},
            "prompts": {step: self.prompts[step] for step in self.models},
            "missing": [each.example_id for each in selected.examples if each.example_id not in there],
        }
