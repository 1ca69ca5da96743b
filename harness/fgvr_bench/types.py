"""What travels through a benchmark, from a dataset to an answer.

::

    Example → Options → Question → Prompt → Response → Answer

Each type is frozen and slotted; invariants are checked where they are made.  This module imports nothing
of the package but its errors, so that a plugin may import it without cost.
"""

from __future__ import annotations

import math
import os
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "LETTERS",
    "MAX_IMAGE_BYTES",
    "Answer",
    "Example",
    "FileImage",
    "ImageSource",
    "Json",
    "NoImage",
    "Options",
    "Prompt",
    "Question",
    "Reading",
    "Response",
    "ScoreKind",
    "Split",
    "Stamp",
    "Stop",
    "letters_for",
    "make_example_id",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""What can be written as JSON."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Letters of multiple-choice options, in order; so a question has at most 26 choices."""

MAX_IMAGE_BYTES = 512 * 1024 * 1024
"""A larger file is refused before it is read."""


class Split(StrEnum):
    """The part of a dataset that an example belongs to."""

    TRAIN = "train"
    """What models may be trained on."""
    VALIDATION = "validation"
    """What settings may be chosen by."""
    TEST = "test"
    """What is asked about."""


@runtime_checkable
class ImageSource(Protocol):
    """Where one image's encoded bytes come from.

    Has to be picklable and cheap to hold: it travels to worker processes, and only there is it read.

    Two methods more save work where a source has them: ``stamp() -> Stamp`` lets digests be kept instead of made
    again, and ``open() -> BinaryIO`` lets the size of a picture be read without the rest of it.
    """

    def read(self) -> bytes:
        """Return the encoded image (any format that Pillow opens).

        Raises:
            OSError: the bytes cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """What says, without a look at them, whether the bytes of an image may be others than before."""

    text: str
    """Changes whenever they may have."""
    modified: float
    """When they last did, in seconds since the epoch."""

    @classmethod
    def of_files(cls, *paths: str) -> Stamp:
        """Return the stamp of files: names, sizes and times of modification; of none, it is always new.

        Raises:
            OSError: one is not there.
        """
        states = [(os.path.abspath(path), os.stat(path)) for path in paths]
        text = "\0".join(f"{path}\0{state.st_size}\0{state.st_mtime_ns}" for path, state in states)
        return cls(text, max((state.st_mtime for _, state in states), default=math.inf))


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image in a file."""

    path: str
    """The file's path."""

    def read(self) -> bytes:
        """Return the file's bytes; raises as `open` does."""
        with self.open() as file:
            return file.read()

    def stamp(self) -> Stamp:
        """Return the file's stamp.

        Raises:
            OSError: it is not there.
        """
        return Stamp.of_files(self.path)

    def open(self) -> BinaryIO:
        """Open the file.

        Raises:
            OSError: it is not there, no regular file, or larger than `MAX_IMAGE_BYTES`.
        """
        descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(file.fileno())
        problem = None
        if not stat.S_ISREG(status.st_mode):
            problem = f"{self.path} is not a regular file"
        elif status.st_size > MAX_IMAGE_BYTES:
            problem = f"{self.path} has {status.st_size} bytes, more than {MAX_IMAGE_BYTES}"
        if problem is not None:
            file.close()
            raise OSError(problem)
        return file


@dataclass(frozen=True, slots=True)
class NoImage:
    """Stands for the picture in a prompt of words alone.

    A model that can be asked without a picture looks for it (``isinstance(prompt.image, NoImage)``) and shows
    none; every other is shown what this reads: a grey square.
    """

    def read(self) -> bytes:
        """Return a grey square."""
        return b"P6 224 224 255\n" + b"\x80" * (224 * 224 * 3)


def make_example_id(dataset: str, split: str, key: str) -> str:
    """Return ``dataset/split/key`` in Unicode normal form C.

    >>> make_example_id("pet-37", "test", "Abyssinian_201.jpg")
    'pet-37/test/Abyssinian_201.jpg'
    """
    return unicodedata.normalize("NFC", f"{dataset}/{split}/{Path(key).as_posix()}")


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled image of a dataset."""

    example_id: str
    """``dataset/split/key``, NFC; unique within the dataset (see `make_example_id`)."""
    image: ImageSource
    """Where its bytes come from."""
    label: str
    """The class name, spelt exactly as published."""
    split: str
    """The split that it belongs to."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else is known of the image, for example a bounding box; never shown to a model."""

    def __post_init__(self) -> None:
        if self.example_id.count("/") < 2:
            raise ValueError(f"{self.example_id!r} is not of the form dataset/split/key")
        if not self.label:
            raise ValueError(f"{self.example_id} has an empty label")


@dataclass(frozen=True, slots=True)
class Options:
    """The answer choices of one example: the truth and the wrong labels nearest to it."""

    example_id: str
    """The example that they belong to."""
    choices: tuple[str, ...]
    """Labels, the truth first, the others in the miner's order (CLIP: ascending similarity)."""
    similarities: tuple[float, ...] = ()
    """Cosine similarity of image and label for each choice; empty where the miner has none."""
    truth_rank: int | None = None
    """Rank of the truth among all labels, 1 = most similar; None where the miner has no similarities."""
    truth_margin: float | None = None
    """Similarity of the truth minus that of the most similar wrong label; negative where CLIP errs."""

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise ValueError(f"{self.example_id} has {len(self.choices)} choices; a question needs two")
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"{self.example_id} offers a label twice: {list(self.choices)}")
        if self.similarities and len(self.similarities) != len(self.choices):
            raise ValueError(f"{self.example_id} has {len(self.similarities)} similarities")

    @property
    def truth(self) -> str:
        """The right label."""
        return self.choices[0]


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one example, with its answer."""

    question_id: str
    """Key of prompts, responses and resume: example, task and number of the permutation."""
    example: Example
    """What it asks about."""
    choices: tuple[str, ...]
    """What may be answered, in shown order; empty for open questions."""
    target: int | None
    """Index of the right choice; None for open questions."""
    letters: tuple[str, ...] = ()
    """The letter before each choice; empty where choices carry none."""
    subject: str | None = None
    """The label that a yes/no question asks about."""
    permutation: int = 0
    """Number of the order in which this example's choices are shown, from 0."""
    truth_rank: int | None = None
    """Rank of the truth among all labels by the miner's similarity (see `Options`); None where it is not known."""

    def __post_init__(self) -> None:
        if self.target is not None and not 0 <= self.target < len(self.choices):
            raise ValueError(f"{self.question_id}: target {self.target} of {len(self.choices)} choices")
        if self.letters and len(self.letters) != len(self.choices):
            raise ValueError(f"{self.question_id}: {len(self.letters)} letters")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model gets to see of a question.  It has no target: a plugin cannot see the answer."""

    question_id: str
    """The question that it asks; the response carries it back."""
    image: ImageSource
    """The picture; a preparer gets it decoded."""
    text: str
    """The question in words, before any chat template (templates belong to the model plugin)."""
    letters: tuple[str, ...]
    """The letter before each choice; empty where choices carry none."""
    choices: tuple[str, ...]
    """What may be answered, in shown order; empty where the choices are not shown."""


class Stop(StrEnum):
    """Why a model's answer ended."""

    EOS = "eos"
    """The model said so."""
    LENGTH = "length"
    """The token limit was reached."""
    SETTLED = "settled"
    """Nothing that followed could have changed the protocol's verdict."""


class ScoreKind(StrEnum):
    """What the numbers beside the choices are."""

    LOGPROB = "logprob"
    """Natural logarithm of the probability of the choice's letter (or word) as the next token."""
    SIMILARITY = "similarity"
    """Cosine similarity of image and text."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered.  A failure is a response too, with an error; none is ever lost."""

    question_id: str
    """The question that it answers."""
    completion: str | None = None
    """Generated text, special tokens removed."""
    scores: tuple[float, ...] | None = None
    """One number a choice, in shown order."""
    score_kind: ScoreKind | None = None
    """What the scores are; there with them, or not at all."""
    stop: Stop | None = None
    """Why the completion ended, where that is known."""
    tokens: int | None = None
    """Number of generated tokens, the end-of-text token not counted."""
    error: str | None = None
    """Why there is no answer; one line."""

    def __post_init__(self) -> None:
        if self.error is None and self.completion is None and self.scores is None:
            raise ValueError(f"{self.question_id}: a response needs a completion, scores or an error")
        if (self.scores is None) != (self.score_kind is None):
            raise ValueError(f"{self.question_id}: scores and score_kind come together")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a parser read off a response, without knowing the target."""

    choice: int | None
    """Index of the choice that was given; None where no single one was."""
    rule: str
    """The parser's rule that decided, or the reason for None."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one response."""

    question_id: str
    """The question that it is about."""
    choice: int | None
    """Index of the choice that was given; None where no single one was."""
    correct: bool
    """Whether that is the right choice."""
    rule: str
    """The parser's rule that decided, or the reason for None."""
    credit: float | None = None
    """Hierarchical precision of an open answer, 0 to 1 (see task ``open-ended``); None for all others."""


def letters_for(choices: Sequence[str]) -> tuple[str, ...]:
    """Return ``("A", "B", ...)``, one for each of `choices`.

    >>> letters_for(["Tree_Sparrow", "House_Sparrow"])
    ('A', 'B')
    """
    if len(choices) > len(LETTERS):
        raise ValueError(f"{len(choices)} choices; there are {len(LETTERS)} letters")
    return tuple(LETTERS[: len(choices)])
