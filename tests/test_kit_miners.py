"""The conformance kit on option miners: each thing that a miner can get wrong is said in a sentence."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fgvr_models
from fgvr_bench.core.host import Host
from fgvr_bench.errors import ModelUnavailable
from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.random import RandomMiner
from fgvr_bench.testing import PluginFault, check_miner
from fgvr_bench.types import Example, Options

INSTALLED = Host()
INSTALLED.load_entry_points()
CLIP = str(Path(fgvr_models.__file__).parent / "moth_clip")
TINY = {
    "clip": {"model": CLIP},
    "closed": {"model": CLIP},
    "consensus": {"models": f"{CLIP}|{CLIP}/../moth_clip"},
    "text": {"model": CLIP},
}
"""The bundled tiny CLIP for the miners that ask one."""

Row = Callable[[Options, Example, MiningSettings], Any]


class Miner(RandomMiner):
    """Draws as the built-in control does; a test changes a row of it, or the whole."""

    name = "mine"

    def __init__(
        self, row: Row = lambda row, example, settings: row, whole: Callable[..., Any] | None = None, **fields: Any
    ) -> None:
        self._row, self._whole = row, whole
        for name, value in fields.items():
            setattr(self, name, value)

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Iterator[Options]:
        rows = super().mine(dataset, examples, settings, progress)
        changed = (self._row(row, example, settings) for row, example in zip(rows, examples, strict=True))
        return self._whole(changed) if self._whole else changed


def faults(miner: OptionMiner, **more: Any) -> str:
    """Return what the kit says is wrong."""
    with pytest.raises(PluginFault) as caught:
        check_miner(miner, **more)
    assert caught.value.subject == f"Option miner {miner.name!r}"
    return str(caught.value)


def test_nothing_is_said_against_a_miner_that_is_right() -> None:
    check_miner(Miner())


@pytest.mark.parametrize("miner", list(INSTALLED.miners), ids=lambda miner: miner.name)
def test_every_bundled_miner_passes(miner: OptionMiner) -> None:
    check_miner(miner, settings=MiningSettings(device="cpu", workers=0, args=TINY.get(miner.name, {})))


def anything(row: Options, example: Example, settings: MiningSettings) -> Options:
    return replace(row, choices=(row.truth, *random.sample([each for each in row.choices if each != row.truth], 1)))


def shuffled(row: Options, example: Example, settings: MiningSettings) -> Options:
    return replace(row, choices=(row.truth, *random.sample(row.choices[1:], len(row.choices) - 1)))


COUNTED = itertools.count()


def turned(row: Options, times: int) -> Options:
    others = row.choices[1:]
    places = range(times, times + len(others))
    return replace(row, choices=(row.truth, *(others[place % len(others)] for place in places)))


ROWS: dict[str, tuple[Row, str]] = {
    "no truth": (
        lambda row, example, settings: replace(row, choices=row.choices[::-1]),
        "Options do not begin with the truth: ",
    ),
    "too few": (
        lambda row, example, settings: replace(row, choices=row.choices[:2]),
        "Options are not 4 (k, or all labels where there are fewer) of 'toy-paints/test/brick red/0000.ppm'",
    ),
    "labels of its own": (
        lambda row, example, settings: replace(row, choices=(row.truth, *map(str.upper, row.choices[1:]))),
        "Options hold what is no label of the dataset",
    ),
    "one twice": (
        lambda row, example, settings: Options(row.example_id, (*row.choices[:-1], row.truth)),
        "mine() raises ValueError: toy-paints/test/brick red/0000.ppm offers a label twice",
    ),
    "a rank of none": (lambda row, example, settings: replace(row, truth_rank=0), "truth_rank is not one of 1 to 6 of"),
    "no similarity": (
        lambda row, example, settings: replace(row, similarities=(float("nan"),) * len(row.choices)),
        "similarities are not finite of",
    ),
    "no margin": (
        lambda row, example, settings: replace(row, truth_margin=float("inf")),
        "truth_margin is not finite of",
    ),
    "a margin at odds with the rank": (
        lambda row, example, settings: replace(row, truth_rank=2, truth_margin=0.1),
        "truth_margin is above 0 only where truth_rank is 1",
    ),
    "a list": (lambda row, example, settings: list(row.choices), "mine() yields a list; it yields Options"),
    "by lot": (shuffled, "mine() moves the global generator of random"),
    "by other lots": (shuffled, "It chooses otherwise when it is asked again"),
    "what came before": (
        lambda row, example, settings: turned(row, next(COUNTED) // 18),
        "It chooses otherwise when it is asked again",
    ),
    "the batch": (
        lambda row, example, settings: turned(row, settings.batch_size or 0),
        "It chooses otherwise in batches of another size",
    ),
    "an error for all labels": (
        lambda row, example, settings: row if settings.k < 6 else 1 / 0,
        "mine() with k = 6 raises ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_options_that_make_no_question_or_not_again_are_found(what: str) -> None:
    row, said = ROWS[what]
    assert said in faults(Miner(row))


def absent(rows: Iterator[Options]) -> Iterator[Options]:
    raise ModelUnavailable("ViT-L-14 is not here.")


def ending(said: Any) -> Callable[[Iterator[Options]], Iterator[Options]]:
    def mined(rows: Iterator[Options]) -> Iterator[Options]:
        yield from rows
        return said

    return mined


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (lambda rows: list(rows)[:-1], "mine() yields 17 rows for 18 examples"),
        (lambda rows: [*rows] * 2, "mine() yields more than 18 rows for 18 examples"),
        (lambda rows: [*rows][::-1], "mine() yields options in another order than the examples"),
        (lambda rows: None, "mine() raises TypeError"),
        (absent, "It cannot mine here: ViT-L-14 is not here. Give the check settings that it can"),
        (ending("18 rows"), "mine() returns a str at its end; it returns a mapping"),
        (ending({"groups": {1}}), "mine() returns at its end what cannot be written as JSON"),
    ],
)
def test_a_mining_that_is_not_whole_is_found(whole: Callable[..., Any], said: str) -> None:
    assert said in faults(Miner(whole=whole))


class Silent(Miner):
    def mine(self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Any) -> Any:
        return super().mine(dataset, examples, settings, lambda count: None)


class Identifies(Miner):
    def __init__(self, identify: Callable[[MiningSettings], Any]) -> None:
        super().__init__()
        self._identify = identify

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self._identify(settings)
        return said


@pytest.mark.parametrize(
    ("miner", "said"),
    [
        (Miner(name="my miner"), "'my miner' cannot name an option miner"),
        (Miner(seeded=False), "It says seeded = False and chooses otherwise with another seed"),
        (Silent(), "It calls progress() for 0 examples of 18"),
        (Identifies(lambda settings: {}), "identify() takes --miner-arg no-such-setting=1 without a word"),
        (Identifies(lambda settings: {"by": {1}}), "identify() returns what cannot be written as JSON"),
        (Identifies(lambda settings: {"by": random.random()}), "identify() says something else when it is asked again"),
    ],
)
def test_what_a_miner_says_of_itself_is_looked_at(miner: OptionMiner, said: str) -> None:
    assert said in faults(miner)
