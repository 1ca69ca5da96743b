"""Batches of lessons as tokens: each batch follows from the seed and its number, whoever makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.miniature.architecture import IMAGE_TOKEN, LATENTS
from benchmarks.miniature.lessons import KNOWING, OF_GENERA, SEEING, Lesson, choose_genus, has_genus

from fgvr_datasets._moth_species import SPECIES, Attributes

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

PICTURE = "<fake_token_around_image>" + "<image>" * LATENTS + "<fake_token_around_image>"
IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Some lessons as tokens, padded on the right; those with a picture come first."""

    tokens: Any
    """Shape (rows, length)."""
    labels: Any
    """The same shape: the answers' tokens, `IGNORED` elsewhere."""
    moths: Any
    """Indices of the pictures, shape (rows with a picture)."""
    kinds: tuple[str, ...] = ()
    """The kind of each row's lesson, for the log."""


def prompt_text(question: str, picture: bool) -> str:
    """Return a question in the chat template's words, up to where the answer begins, the picture expanded."""
    shown = f":{PICTURE}" if picture else ": "
    return f"User{shown}{question}<end_of_utterance>\nAssistant:"


class Lessons:
    """A sequence of batches for a data loader: item i is batch i."""

    def __init__(
        self,
        tokenizer: Any,
        moths: Sequence[Attributes],
        seed: int,
        length: int,
        seeing: int,
        knowing: int,
        genera: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            tokenizer: the model's.
            moths: attributes of the pictures.
            seed: of everything that is drawn.
            length: number of batches.
            seeing: lessons with a picture in a batch.
            knowing: lessons without.
            genera: share of the lessons with a picture that ask for its genus by letter, beside those of the mix.
        """
        self.tokenizer = tokenizer
        self._moths = list(moths)
        self._of_genera = [place for place, moth in enumerate(self._moths) if has_genus(moth)]
        self._seed, self._length, self._genera = seed, length, genera
        self._seeing, self._knowing = seeing, knowing

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < self._length:
            raise IndexError(number)
        chance = Random(f"{self._seed}/{number}")
        moths, lessons = [], []
        seen = chance.choices([*SEEING], [*SEEING.values()], k=self._seeing)
        if self._genera:
            seen = [choose_genus if chance.random() < self._genera else make for make in seen]
        for make in seen:
            genera = make in OF_GENERA and self._of_genera
            place = chance.choice(self._of_genera) if genera else chance.randrange(len(self._moths))
            moths.append(place)
            lessons.append(make(chance, self._moths[place]))
        told = chance.choices([*KNOWING], [*KNOWING.values()], k=self._knowing)
        lessons += [tell(chance, chance.choice(SPECIES)) for tell in told]
        kinds = tuple(make.__name__ for make in (*seen, *told))
        return replace(collate(self.tokenizer, lessons, moths), kinds=kinds)


def collate(tokenizer: Any, lessons: Sequence[Lesson], moths: Sequence[int], multiple: int = 16) -> Batch:
    """Tokenize lessons, the first of which go with pictures; pad to a multiple, so that few lengths occur."""
    backend = tokenizer.backend_tokenizer
    prompts = [prompt_text(lesson.question, place < len(moths)) for place, lesson in enumerate(lessons)]
    asked = [encoding.ids for encoding in backend.encode_batch(prompts, add_special_tokens=True)]
    answers = [f" {lesson.answer}<end_of_utterance>" for lesson in lessons]
    told = [encoding.ids for encoding in backend.encode_batch(answers, add_special_tokens=False)]
    longest = max(len(first) + len(second) for first, second in zip(asked, told, strict=True))
    shape = (len(lessons), -(-longest // multiple) * multiple)
    tokens, labels = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    for row, (first, second) in enumerate(zip(asked, told, strict=True)):
        tokens[row, : len(first) + len(second)] = first + second
        labels[row, len(first) : len(first) + len(second)] = second
    pictured = tokens[: len(moths)] == IMAGE_TOKEN
    if pictured.sum() != LATENTS * len(moths):
        raise ValueError("a lesson spells the picture's token")
    return Batch(tokens, labels, np.asarray(moths, np.int64))


def loader(lessons: Lessons, workers: int) -> DataLoader[Any]:
    """Return the batches in order, made ahead by `workers` processes."""
    from torch.utils.data import DataLoader

    return DataLoader(
        lessons,  # type: ignore[arg-type]
        batch_size=None,
        shuffle=False,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
