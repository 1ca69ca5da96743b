"""The conformance kit on datasets: each thing that a dataset plugin can get wrong is said in a sentence."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin, ListedDataset
from fgvr_bench.testing import PluginFault, check_dataset
from fgvr_bench.types import Example, FileImage

PAINTS = {"brick red": (155, 45, 40), "moss green": (85, 115, 60), "sky blue": (125, 180, 220)}
CARD = DatasetCard("paints", "Paints", "paints", 3, {"test": 6, "train": 3}, licence="MIT", options="random")


@dataclass(frozen=True)
class Square:
    colour: tuple[int, int, int]
    number: int = 0

    def read(self) -> bytes:
        return b"P6 8 8 255\n" + bytes((*self.colour[:2], self.number)) * 64


def squares() -> list[Example]:
    """Return two test images and a train image of each paint."""
    return [
        Example(f"paints/{split}/{label}/{number}", Square(colour, number), label, split)
        for label, colour in PAINTS.items()
        for number, split in enumerate(("test", "test", "train"))
    ]


Change = Callable[[list[Example]], Sequence[Example]]


class Paints(ListedDataset):
    """Takes its words from what a test brings along."""

    def __init__(self, card: DatasetCard, change: Change, labels: Sequence[str] | None, **methods: Any) -> None:
        super().__init__(card, squares(), labels or list(PAINTS))
        self._change = change
        for name, method in methods.items():
            setattr(self, name, method)

    def examples(self, split: str = "test") -> Sequence[Example]:
        found = list(super().examples(split))
        return self._change(found) if split == "test" else found


class Plugin(DatasetPlugin):
    def __init__(
        self,
        change: Change = list,
        card: DatasetCard = CARD,
        labels: Sequence[str] | None = None,
        **methods: Any,
    ) -> None:
        self.card, self._change, self._labels, self._methods = card, change, labels, methods

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        return Paints(self.card, self._change, self._labels, **self._methods)


def faults(plugin: DatasetPlugin, **more: Any) -> str:
    """Return what the kit says is wrong."""
    with pytest.raises(PluginFault) as caught:
        check_dataset(plugin, **more)
    assert caught.value.subject == f"Dataset {plugin.card.name!r}"
    return str(caught.value)


def test_nothing_is_said_against_a_dataset_that_is_right() -> None:
    check_dataset(Plugin())


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (replace(CARD, licence="unknown"), "Its card states no licence"),
        (replace(CARD, homepage="https://a.page"), "names https://a.page and no citation"),
        (replace(CARD, noun=""), "Its card has no noun. Write noun=... into DatasetCard(...)."),
        (replace(CARD, name="my paints"), "It cannot be registered: 'my paints' cannot name a dataset"),
        (replace(CARD, options="published"), "names no published option set"),
        (replace(CARD, classes=4), "Its card says 4 classes, and labels() returns 3"),
        (replace(CARD, images={"test": 7}), "Its card says 7 images in split 'test', and there are 6"),
        (replace(CARD, images={"test": 6, "validation": 3}), "Its card lists the split 'validation', and examples"),
        (replace(CARD, images={"test": 6, "train": 0}), "Its card says that split 'train' has 0 images"),
    ],
)
def test_a_card_that_says_what_is_not_so_is_told(card: DatasetCard, said: str) -> None:
    assert said in faults(Plugin(card=card))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["brick red", "moss green", "sky blue "], "Labels have stray spaces: 'sky blue '"),
        (["brick red", "moss  green", "sky blue"], "Labels have stray spaces: 'moss  green'"),
        (["brick red", "moss green", "sky\nblue"], "Labels hold line breaks"),
        (["brick red", "moss green", "e\u0301meraude"], "Labels are not in Unicode normal form C"),
        (["brick red", "moss green", " "], "Labels are empty"),
        (["brick red", "moss green", "sky blue", "sky blue"], "Labels stand twice in labels(): 'sky blue'"),
        (["brick red", "moss green", "sky blue", "teal"], "No image of any split has these labels: 'teal'"),
        (["brick red", "moss green"], "have a label that labels() does not return: 'paints/test/sky blue/0'"),
        (["brick red"], "It has 1 labels; a question needs two"),
        ([1, 2, 3], "labels() holds what is no text"),
    ],
)
def test_labels_that_would_mar_every_question_are_found(labels: list[Any], said: str) -> None:
    assert said in faults(Plugin(labels=labels))


def shuffled(examples: list[Example]) -> list[Example]:
    random.shuffle(examples)
    return examples


def all_but_one(examples: list[Example], calls: Iterator[int] = itertools.count()) -> list[Example]:  # noqa: B008
    left_out = min(next(calls), 1)  # the first time another one than ever after
    return [example for place, example in enumerate(examples) if place != left_out]


CHANGES: dict[str, tuple[Change, str]] = {
    "another order": (lambda examples: examples[::-1], "stand out of order"),
    "no order": (shuffled, "examples('test') moves the global generator of random"),
    "never the same": (all_but_one, "Split 'test' is another one when it is opened again"),
    "one twice": (lambda examples: [*examples, examples[-1]], "stand there twice: 'paints/test/sky blue/1'"),
    "of another split": (
        lambda examples: [replace(each, split="train") for each in examples],
        "belong to another split",
    ),
    "ids of another name": (
        lambda examples: [replace(each, example_id=f"x/{each.example_id}") for each in examples],
        "do not begin with the dataset's name and the split",
    ),
    "ids in another form": (
        lambda examples: [replace(each, example_id=f"{each.example_id}/e\u0301") for each in examples],
        "are not in Unicode normal form C",
    ),
    "nothing": (lambda examples: [], "Split 'test' is empty"),
    "train images": (
        lambda examples: [*examples[:-1], replace(examples[-1], image=Square(PAINTS["sky blue"], 2))],
        "Images of split 'train' are in another split too",
    ),
    "an error": (lambda examples: [examples[0].nothing], "examples('test') raises AttributeError"),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("what", CHANGES)
def test_examples_that_no_run_could_be_repeated_with_are_found(what: str) -> None:
    change, said = CHANGES[what]
    assert said in faults(Plugin(change))


class Lazy(Sequence[Example]):
    """Makes its examples when they are asked for, with something that stays in this process."""

    def __init__(self, examples: list[Example], make: Callable[[Example], Example] = lambda example: example) -> None:
        self.examples, self.make = examples, make

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: Any) -> Any:
        return self.make(self.examples[place])


class Forgets(Lazy):
    def __reduce__(self) -> Any:
        return (list, ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Lazy, "What examples('test') returns cannot be sent to worker processes"),
        (Forgets, "examples('test') gives other examples in a worker process"),
    ],
)
def test_examples_that_workers_would_not_get_are_found(change: Change, said: str) -> None:
    assert said in faults(Plugin(change))


def invalid(examples: list[Example]) -> list[Example]:
    raise DataInvalid("labels.csv, line 3: two columns.")


def test_data_that_is_itself_wrong_is_told_in_its_own_words() -> None:
    assert "examples('test') says: labels.csv, line 3: two columns." in faults(Plugin(invalid))


@dataclass(frozen=True)
class Image:
    """Returns what a test brings along."""

    answer: Any

    def read(self) -> Any:
        return self.answer() if callable(self.answer) else self.answer


def a_random_picture() -> bytes:
    return b"P6 1 1 255\n" + random.randbytes(3)


def no_picture() -> bytes:
    raise OSError("not there")


class NoSource:
    """Has nothing to read."""


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image(b"no picture"), "cannot be shown"),
        (Image("text"), "returns a str; it returns the encoded bytes"),
        (Image(no_picture), "cannot be read: OSError: not there"),
        (Image(a_random_picture), "has other bytes when it is read again"),
        (Image(lambda: b"P6 1 1 255\n\0\0\0"), "cannot be sent to worker processes"),
        (NoSource(), "is a NoSource without read() -> bytes"),
    ],
)
def test_images_that_workers_could_not_read_are_found(image: Any, said: str) -> None:
    assert said in faults(Plugin(lambda examples: [replace(examples[0], image=image), *examples[1:]]))


def test_images_that_are_read_before_anybody_asks_for_them_are_found(tmp_path: Path) -> None:
    path = tmp_path / "one.ppm"
    path.write_bytes(b"P6 1 1 255\n\0\0\0")

    def peek(examples: list[Example]) -> list[Example]:
        path.read_bytes()
        return examples

    assert f"examples('test') reads images ('{path}')" in faults(Plugin(peek))
    check_dataset(Plugin(peek), may_read=1)

    class Opens(Plugin):
        def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
            FileImage(str(path)).read()
            return super().open(roots, argument)

    with pytest.raises(PluginFault, match="Opening it reads images"):
        check_dataset(Opens())


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"display": lambda label: None}, "display('brick red') returns None; it returns a text"),
        ({"description": lambda label: " "}, "description('brick red') returns ' '; it returns words, or None"),
        ({"taxonomy": lambda label: "Reds"}, "taxonomy('brick red') returns 'Reds'; it returns a tuple"),
        ({"taxonomy": lambda label: {}[label]}, "taxonomy('brick red') raises KeyError"),
        ({"source_digest": lambda split: 7}, "source_digest('test') returns 7; it returns a text, or None"),
        ({"source_digest": lambda split: str(random.random())}, "source_digest('test') returns another digest"),
        ({"examples": lambda split="test": squares()[:1]}, "examples() of a split that it does not have returns some"),
        ({"examples": lambda split="test": {}[split]}, "It has no split that can be had"),
    ],
)
def test_what_a_dataset_says_is_looked_at(methods: dict[str, Any], said: str) -> None:
    assert said in faults(Plugin(**methods))


class Opens(DatasetPlugin):
    """Opens in the way that a test brings along."""

    card = CARD

    def __init__(self, opened: Callable[[Sequence[Path]], Any]) -> None:
        self._opened = opened

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        opened: Dataset = self._opened(roots)
        return opened


def absent(roots: Sequence[Path]) -> Any:
    raise DataNotFound("paints is not there.", hint="Type: fgvr-bench datasets fetch paints")


def drawn(roots: Sequence[Path]) -> Dataset:
    random.random()
    return Plugin().open(roots)


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (absent, "was not looked at: paints is not there. Type: fgvr-bench datasets fetch paints Name its folder"),
        (lambda roots: {}["root"], "raises KeyError: 'root'"),
        (lambda roots: "paints", "open() returns a str; it returns a Dataset"),
        (drawn, "Opening it moves the global generator of random"),
    ],
)
def test_opening_is_looked_at(opened: Callable[[Sequence[Path]], Any], said: str, tmp_path: Path) -> None:
    assert said in faults(Opens(opened), roots=[tmp_path])


def rooted(roots: Sequence[Path]) -> Dataset:
    return ListedDataset(CARD, squares(), list(PAINTS), roots[0])


def none_without_a_hint(roots: Sequence[Path]) -> Dataset:
    if not list(roots[0].iterdir()):
        raise DataNotFound("nothing there.")
    return rooted(roots)


def a_traceback(roots: Sequence[Path]) -> Dataset:
    (roots[0] / "labels.txt").read_text()
    return rooted(roots)


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (rooted, "open() of a folder without its files returns a dataset. Raise DataNotFound"),
        (none_without_a_hint, "says 'nothing there.' and no more. Add hint=..."),
        (a_traceback, "open() of a folder without its files raises FileNotFoundError"),
    ],
)
def test_what_it_says_where_its_files_are_absent_is_looked_at(
    opened: Callable[[Sequence[Path]], Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").touch()
    assert said in faults(Opens(opened), roots=[tmp_path])


def test_a_thousand_faults_of_one_kind_are_one_sentence() -> None:
    said = faults(Plugin(lambda examples: [replace(each, split="train") for each in examples]))
    assert said.count("belong to another split") == 1
    assert "'paints/test/brick red/0', 'paints/test/brick red/1', 'paints/test/moss green/0' and 3 more" in said
