"""Which images are trained on: a split's, of some classes, so many of each, drawn by seed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.files import digest as digest_of
from fgvr_bench.core.host import Host
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.questions import Picked
from fgvr_bench.core.subset import Subset, read_subset
from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.types import Example, Split


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images a user asked for."""

    split: str = "train"
    classes: str | None = None
    """A list of classes, as ``run --subset`` takes them; None takes all."""
    hold_out: str | None = None
    """A list of classes that are left out, of negatives and choices too."""
    shots: int | None = None
    """Images of each class; None takes all."""
    seed: int = 0
    """Decides which images these are; the first N of a class are the same for every number of shots."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The images of one dataset that are trained on."""

    dataset: Dataset
    """The whole dataset."""
    split: str
    digest: str
    """Of the whole split."""
    labels: tuple[str, ...]
    """Classes that take part, in published order."""
    examples: Sequence[Example]
    """Sorted by id."""

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.card.name

    def header(self, wanted: Wanted) -> dict[str, Any]:
        """Return what a file that is made of these images says of them."""
        return {
            "dataset": self.name,
            "split": self.split,
            "dataset_digest": self.digest,
            "classes": len(self.labels),
            "shots": wanted.shots,
            "seed": wanted.seed,
        }

    def narrowed(self) -> Dataset:
        """Return a dataset of these classes and images alone, for miners; the whole one where that is all."""
        if len(self.labels) == len(self.dataset.labels()) and len(self.examples) == len(
            self.dataset.examples(self.split)
        ):
            return self.dataset
        return Narrowed(self)


class Narrowed(Dataset):
    """Some classes and images of a dataset, under a name of its own, so that what is kept of it is told apart."""

    root = None

    def __init__(self, selected: Selected) -> None:
        ids = [example.example_id for example in selected.examples]
        self.digest = digest_of([selected.digest, list(selected.labels), ids])
        """Stands for the split's digest."""
        self.card = dataclasses.replace(selected.dataset.card, name=f"{selected.name}.{self.digest[:8]}")
        self._selected = selected
        self._ranks = taxonomy_of(selected.dataset)

    @property
    def clip_checkpoint(self) -> Path | None:
        """The contrastive checkpoint that the dataset brings, if any."""
        found: Path | None = getattr(self._selected.dataset, "clip_checkpoint", None)
        return found

    def labels(self) -> Sequence[str]:
        """Return the classes that take part."""
        return self._selected.labels

    def examples(self, split: str = "train") -> Sequence[Example]:
        """Return the images that take part.

        Raises:
            UsageError: another split.
        """
        if split != self._selected.split:
            raise UsageError(f"of {self.card.name} only {self._selected.split} is there, not {split!r}.")
        return self._selected.examples

    def display(self, label: str) -> str:
        """Return the label as the dataset shows it."""
        return self._selected.dataset.display(label)

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the ranks above the label, those of a user's file included."""
        return self._ranks.get(label, ())

    def source_digest(self, split: str) -> str | None:
        """Return the digest of what was selected from what."""
        return self.digest


def open_dataset(host: Host, name: str, roots: Sequence[Path], split: str) -> Dataset:
    """Open a dataset for training.

    Raises:
        UsageError: the test split is asked for, or the dataset has none of that name; unknown names.
        FgvrError: its files are not there, or wrong.
    """
    if split == Split.TEST:
        raise UsageError("nothing is trained on the test split.", hint="Name --split train or validation.")
    plugin, argument = host.datasets.find(name)
    dataset = plugin.open(data_roots(roots), argument)
    if not len(dataset.examples(split)):
        raise UsageError(f"{dataset.card.name} has no images in split {split!r}, so there is nothing to train on.")
    if len(dataset.labels()) < 2:
        raise DataInvalid(f"{dataset.card.name} has {len(dataset.labels())} class; telling apart takes two.")
    return dataset


def select(
    dataset: Dataset, wanted: Wanted, progress: Progress = quiet, without: Collection[str] = frozenset()
) -> Selected:
    """Choose images: those of the wanted classes, of each the first so many in an order drawn by the seed.

    Args:
        dataset: opened.
        wanted: what was asked for.
        progress: told while images are read for the digest.
        without: ids of examples that are not to be chosen.

    Raises:
        UsageError: a class with fewer images than shots, or fewer than two classes.
        DataInvalid: a list with an unknown class; offers the near ones.
    """
    labels = _labels(dataset, wanted)
    pools: dict[str, list[tuple[bytes, int]]] = {label: [] for label in labels}
    examples = dataset.examples(wanted.split)
    for place in range(len(examples)):
        example = examples[place]
        if example.label in pools and example.example_id not in without:
            drawn = hashlib.sha256(f"{wanted.seed}\n{example.example_id}".encode()).digest()
            pools[example.label].append((drawn, place))
    _check_pools(dataset, wanted, {label: len(pool) for label, pool in pools.items()})
    places = sorted(place for pool in pools.values() for _, place in sorted(pool)[: wanted.shots])
    return Selected(
        dataset,
        wanted.split,
        dataset_digest(dataset, wanted.split, progress),
        labels,
        Picked(examples, places),
    )


def _labels(dataset: Dataset, wanted: Wanted) -> tuple[str, ...]:
    labels = list(dataset.labels())
    if wanted.classes is not None:
        kept = _classes(wanted.classes, dataset, wanted.split)
        labels = [label for label in labels if label in kept.classes]
    if wanted.hold_out is not None:
        held = _classes(wanted.hold_out, dataset, wanted.split)
        labels = [label for label in labels if label not in held.classes]
    if len(labels) < 2:
        raise UsageError(f"{len(labels)} classes of {dataset.card.name} are left to train on; telling apart takes two.")
    return tuple(labels)


def _classes(spec: str, dataset: Dataset, split: str) -> Subset:
    subset = read_subset(spec, dataset, split)
    if not subset.classes:
        raise UsageError(f"the list {spec} is one of examples; here it has to be one of classes.")
    return subset


def _check_pools(dataset: Dataset, wanted: Wanted, counts: dict[str, int]) -> None:
    few = [label for label, count in counts.items() if count < (wanted.shots or 1)]
    if not few:
        return
    named = ", ".join(f"{label} ({counts[label]})" for label in few[:3])
    more = f" and {len(few) - 3} more" if len(few) > 3 else ""
    least = min(counts.values())
    split = f"{dataset.card.name} {wanted.split}"
    if wanted.shots is None or not least:
        raise UsageError(
            f"{split} has no images of {named}{more}.", hint="Leave these classes out with --hold-out FILE."
        )
    raise UsageError(
        f"{split} has fewer than {wanted.shots} images of {named}{more}.",
        hint=f"Give --shots {least} or fewer, or leave these classes out with --hold-out FILE.",
    )
