"""Examples of a dataset: ids, order, labels and splits."""

from __future__ import annotations

import contextlib
import pickle
import unicodedata
from collections.abc import Sequence

from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.testing.findings import Findings, described, first
from fgvr_bench.testing.generators import watched
from fgvr_bench.testing.images import noting_pictures
from fgvr_bench.types import Example


def look_at_splits(
    found: Findings, dataset: Dataset, labels: Sequence[str], may_read: int
) -> dict[str, Sequence[Example]]:
    """Check every split that the card names, and the test split; return those that can be had."""
    splits: dict[str, Sequence[Example]] = {}
    for split in dict.fromkeys([*dataset.card.images, "test"]):
        try:
            with noting_pictures() as seen, watched() as moved:
                splits[split] = dataset.examples(split)
                len(splits[split])
        except UsageError as problem:
            if split in dataset.card.images:
                found.wrong(f"Its card lists the split {split!r}, and examples({split!r}) refuses it: {problem}")
        except (DataInvalid, DataNotFound) as problem:
            found.wrong(f"examples({split!r}) says: {problem}")
        except Exception as problem:
            found.wrong(f"examples({split!r}) raises {described(problem)}.")
        else:
            if len(seen) > may_read:
                found.wrong(f"examples({split!r}) reads images ({first(seen)}). Name them, and let workers read.")
            found.need(not moved, f"examples({split!r}) moves the global generator of {' and '.join(moved)}.")
            _look_at_examples(found, dataset, split, splits[split], set(labels))
    if not splits:
        found.wrong("It has no split that can be had. examples('test') returns the examples that are asked about.")
    try:
        dataset.examples("no-such-split")
    except UsageError:
        pass
    except Exception as problem:
        found.wrong(f"examples() of a split that it does not have raises {described(problem)}. Raise UsageError.")
    else:
        found.wrong(
            "examples() of a split that it does not have returns something. Raise UsageError with those it has."
        )
    used = {example.label for examples in splits.values() for example in examples}
    if splits and (idle := [label for label in labels if label not in used]):
        found.wrong(f"No image of any split has these labels: {first(idle)}. Are they spelt as in the annotations?")
    return splits


def _look_at_examples(
    found: Findings, dataset: Dataset, split: str, examples: Sequence[Example], labels: set[str]
) -> None:
    said = dataset.card.images.get(split)
    if said is not None and said != len(examples):
        found.wrong(f"Its card says {said} images in split {split!r}, and there are {len(examples)}. Correct one.")
    if not found.need(
        len(examples) > 0, f"Split {split!r} is empty. Raise DataInvalid where annotations list nothing."
    ):
        return
    before = ""
    ids: set[str] = set()
    faults: dict[str, list[str]] = {}
    for place in range(len(examples)):
        example = examples[place]
        example_id = example.example_id
        problems = {
            "stand out of order": example_id < before,
            "stand there twice": example_id in ids,
            "do not begin with the dataset's name and the split": not example_id.startswith(
                f"{dataset.card.name}/{split}/"
            ),
            "are not in Unicode normal form C": unicodedata.normalize("NFC", example_id) != example_id,
            "belong to another split": example.split != split,
            "have a label that labels() does not return": example.label not in labels,
        }
        for what, is_so in problems.items():
            if is_so:
                faults.setdefault(what, []).append(example_id)
        before = example_id
        ids.add(example_id)
    advice = {
        "stand out of order": "Sort them by example_id.",
        "stand there twice": "Give each image a key of its own (see make_example_id).",
        "do not begin with the dataset's name and the split": "Make ids with make_example_id(name, split, key).",
        "are not in Unicode normal form C": "Make ids with make_example_id(name, split, key).",
        "belong to another split": "Their field `split` has to be the split that was asked for.",
        "have a label that labels() does not return": "Spell labels alike in both.",
    }
    for what, bad in faults.items():
        found.wrong(f"Examples of split {split!r} {what}: {first(bad)}. {advice[what]}")
    if not alike(examples[0], examples[0]) or examples[len(examples) - 1].example_id != before:
        found.wrong(f"examples({split!r}) gives another example when it is indexed again.")
    _look_at_journey(found, split, examples)
    _look_at_digest(found, dataset, split)


def _look_at_journey(found: Findings, split: str, examples: Sequence[Example]) -> None:
    """Send the examples to a worker process and back: questions about them are made there."""
    try:
        carried = pickle.loads(pickle.dumps(examples))  # noqa: S301 - what was just made of it
    except Exception as problem:
        found.wrong(
            f"What examples({split!r}) returns cannot be sent to worker processes ({described(problem)}). Hold lists "
            "and plain values, and no lambda, lock or open file."
        )
        return
    with found.trying(f"examples({split!r}), after a journey to a worker process,"):
        if len(carried) != len(examples) or not alike(carried[len(carried) - 1], examples[len(examples) - 1]):
            found.wrong(f"examples({split!r}) gives other examples in a worker process. What it knows is its own.")


def _look_at_digest(found: Findings, dataset: Dataset, split: str) -> None:
    with found.trying(f"source_digest({split!r})"):
        digest = dataset.source_digest(split)
        if digest is not None and (not isinstance(digest, str) or not digest.strip()):
            found.wrong(f"source_digest({split!r}) returns {digest!r}; it returns a text, or None.")
        elif digest != dataset.source_digest(split):
            found.wrong(f"source_digest({split!r}) returns another digest when it is called again.")


def alike(one: Example, other: Example) -> bool:
    """Say whether two examples are one, whatever their sources compare like."""
    return (one.example_id, one.label, one.split) == (other.example_id, other.label, other.split)


def look_at_overlap(found: Findings, splits: dict[str, Sequence[Example]]) -> None:
    """Find images that two splits share by what they are read from."""
    owners: dict[bytes, str] = {}
    for split, examples in splits.items():
        shared = []
        mine: set[bytes] = set()
        for example in examples:
            with contextlib.suppress(Exception):
                key = pickle.dumps(example.image)
                if owners.get(key, split) != split:
                    shared.append(example.example_id)
                mine.add(key)
        owners |= dict.fromkeys(mine, split)
        if shared:
            found.wrong(
                f"Images of split {split!r} are in another split too: {first(shared)}. A model that was trained on "
                "one is tested on the same pictures in the other."
            )
