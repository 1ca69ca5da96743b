"""What a dataset plugin can get wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fgvr_bench.core.paths import data_roots
from fgvr_bench.errors import DataNotFound
from fgvr_bench.interfaces import Dataset, DatasetPlugin
from fgvr_bench.testing.cards import look_at_dataset_card
from fgvr_bench.testing.examples import alike, look_at_overlap, look_at_splits
from fgvr_bench.testing.findings import Findings, described, first
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.images import look_at_images, noting_pictures
from fgvr_bench.testing.labels import look_at_labels, look_at_words
from fgvr_bench.types import Example

IMAGES = 16
"""How many images of each split are read by default."""


def check_dataset(
    plugin: DatasetPlugin,
    roots: Sequence[Path | str] = (),
    argument: str | None = None,
    *,
    images: int = IMAGES,
    may_read: int = 0,
) -> None:
    """Check a dataset: its card, its labels, the examples of every split, and some of its images.

    Args:
        plugin: what the plugin registers.
        roots: folders to look for it in; by default those of ``--data-root`` (``FGVR_DATA`` and what was fetched).
        argument: what follows the colon of a name such as ``folder:PATH``.
        images: how many images of each split are read, spread evenly; the others are not looked at.
        may_read: how many images may be read while it is opened and while each split is listed, for a dataset that
            compares a sample of them with their annotations.

    Raises:
        PluginFault: names everything that is wrong.
    """
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Dataset {plugin.card.name!r}")
    look_at_dataset_card(found, plugin)
    places = [Path(root) for root in roots] or data_roots()
    dataset = _opened(found, plugin, places, argument, may_read)
    if dataset is not None:
        labels = look_at_labels(found, dataset)
        splits = look_at_splits(found, dataset, labels, may_read)
        _look_at_repetition(found, plugin, places, argument, splits)
        look_at_words(found, dataset, labels)
        for split, examples in splits.items():
            look_at_images(found, split, examples, images)
        look_at_overlap(found, splits)
        if dataset.root is not None and argument is None:
            _look_at_absence(found, plugin)
    found.settle()


def _opened(
    found: Findings, plugin: DatasetPlugin, roots: Sequence[Path], argument: str | None, may_read: int
) -> Dataset | None:
    where = ", ".join(map(str, roots))
    try:
        with noting_pictures() as seen, watched() as moved:
            dataset = plugin.open(roots, argument)
            if isinstance(dataset, Dataset):
                dataset.labels()
    except DataNotFound as problem:
        found.wrong(f"It is not below {where}, so it was not looked at: {problem} Name its folder: roots=[...].")
        return None
    except Exception as problem:
        found.wrong(f"open() below {where} raises {described(problem)}.")
        return None
    if not isinstance(dataset, Dataset):
        found.wrong(f"open() returns a {type(dataset).__name__}; it returns a Dataset.")
        return None
    if len(seen) > may_read:
        found.wrong(
            f"Opening it reads images ({first(seen)}). Read annotations only: a list of a million images has to open "
            "at once, and images are read by worker processes."
        )
    if moved:
        found.wrong(f"Opening it moves the global generator of {' and '.join(moved)}. Draw from one of your own.")
    if not hasattr(dataset, "root"):
        found.wrong("The Dataset has no `root`. Set it to the folder it was found in, or to None.")
        dataset.root = None
    return dataset


def _look_at_repetition(
    found: Findings,
    plugin: DatasetPlugin,
    roots: Sequence[Path],
    argument: str | None,
    splits: dict[str, Sequence[Example]],
) -> None:
    """Open it again, with other numbers in the global generators: everything has to be the same."""
    with found.trying("Opening it a second time"), poisoned(20_011):
        again = plugin.open(roots, argument)
        for split, examples in splits.items():
            other = again.examples(split)
            differ = [one.example_id for one, two in zip(examples, other, strict=False) if not alike(one, two)]
            if differ or len(examples) != len(other):
                found.wrong(
                    f"Split {split!r} is another one when it is opened again (first: {differ[:1] or len(other)}). "
                    "Nothing of it may be drawn at random, or hang on an order that the system gives files in."
                )


def _look_at_absence(found: Findings, plugin: DatasetPlugin) -> None:
    with tempfile.TemporaryDirectory() as empty:
        what = "open() of a folder without its files"
        try:
            plugin.open([Path(empty)], None)
        except DataNotFound as problem:
            if not problem.hint:
                found.wrong(f"{what} says {problem.message!r} and no more. Add hint=...: what to type, or where to go.")
        except Exception as problem:
            found.wrong(f"{what} raises {described(problem)}. Raise DataNotFound, with where it looked.")
        else:
            found.wrong(f"{what} returns a dataset. Raise DataNotFound, with where it looked.")
