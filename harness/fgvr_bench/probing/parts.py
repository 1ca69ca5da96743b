"""Which pictures probes are fitted on, chosen on and measured on, and what is known of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.field_guide import OWN, read_guide
from fgvr_bench.core.files import digest as digest_of
from fgvr_bench.core.order import stratified_order
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import UsageError
from fgvr_bench.types import Example, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.interfaces import Dataset

HELD_OUT = 5
"""Without a validation split, every so manyth train picture of a class takes its place."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some pictures of a split, in the order of their rows."""

    examples: Sequence[Example]
    data: Mapping[str, Any]
    """Names them: dataset, split, digest, seed of the order, and which rows of it."""


def parts_of(
    dataset: Dataset, name: str, split: str, limit: int | None, seed: int, progress: Progress = quiet
) -> dict[str, Part]:
    """Return the parts ``train``, ``validation`` and ``test``.

    Validation is the split of that name.  Where there is none, or it is what is measured on, a fifth of the train
    pictures takes its place.

    Args:
        dataset: whose pictures.
        name: its canonical name.
        split: what is measured on.
        limit: pictures of each split, classes in proportion; None takes all.
        seed: of the order.
        progress: shows the reading of digests.

    Raises:
        UsageError: there is no such split, or too few pictures.
    """
    if split == Split.TRAIN:
        raise UsageError("the train split is what probes are fitted on.", hint="Measure on another: --split test")
    try:
        train, test = (_ordered(dataset, each, limit, seed) for each in (str(Split.TRAIN), split))
    except UsageError as error:
        raise UsageError(error.message, hint="Probes are fitted on a train split and measured on another.") from error
    held: list[Example] = []
    if split != Split.VALIDATION:
        try:
            held = _ordered(dataset, str(Split.VALIDATION), limit, seed)
        except UsageError:  # it has none
            held = []
    rows = {"train": "all", "validation": "all", "test": "all"}
    if not held:
        train, held = _held_out(train)
        rows |= {"train": f"all but 1 in {HELD_OUT}", "validation": f"1 in {HELD_OUT}"}
    found = {"train": train, "validation": held, "test": test}
    for part, examples in found.items():
        if len({example.label for example in examples}) < 2:
            raise UsageError(
                f"{len(examples)} pictures of {name} for {part} are too few: probes need two classes in each part.",
                hint="Give a larger --limit." if limit else None,
            )
    digests = {each: dataset_digest(dataset, each, progress) for each in {row[0].split for row in found.values()}}
    return {
        part: Part(
            examples,
            {
                "dataset": name,
                "split": examples[0].split,
                "digest": digests[examples[0].split],
                "seed": seed,
                "rows": rows[part],
            },
        )
        for part, examples in found.items()
    }


def _ordered(dataset: Dataset, split: str, limit: int | None, seed: int) -> list[Example]:
    examples = dataset.examples(split)
    if not len(examples):
        raise UsageError(f"{dataset.card.name} has no {split} pictures.")
    return [examples[place] for place in stratified_order(examples, seed)[:limit].tolist()]


def _held_out(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Part every `HELD_OUT`-th picture of a class from the others; a longer list only adds to both."""
    seen: dict[str, int] = {}
    kept: list[Example] = []
    held: list[Example] = []
    for example in examples:
        seen[example.label] = seen.get(example.label, 0) + 1
        (kept if seen[example.label] % HELD_OUT else held).append(example)
    return kept, held


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a dataset, by number."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    """As pages show them: what is embedded for a name."""
    descriptions: tuple[str, ...]
    """Empty where nobody describes them."""
    siblings: NDArray[np.int64] | None
    """A number for the group of each class, those of the same ranks above; None where no two share them."""

    @classmethod
    def of(cls, dataset: Dataset, guide: str | None) -> Classes:
        """Return the classes of a dataset.

        Args:
            dataset: whose.
            guide: a file with descriptions; None takes the dataset's own, where it has them.

        Raises:
            UsageError, DataInvalid: the file is wrong, or a label has no description in it.
        """
        import numpy as np

        labels = tuple(dataset.labels())
        ranks = [dataset.taxonomy(label) for label in labels]
        numbers = {each: number for number, each in enumerate(dict.fromkeys(ranks))}
        groups = np.array([numbers[each] for each in ranks], np.int64)
        known = any(ranks) and len(numbers) < len(labels)
        described: Mapping[str, str] = {}
        if guide is not None or any(dataset.description(label) for label in labels):
            described = read_guide(guide or OWN, dataset)
        return cls(
            labels,
            tuple(dataset.display(label) for label in labels),
            tuple(described[label] for label in labels if described),
            groups if known else None,
        )

    def inputs(self) -> dict[str, Any]:
        """Return digests of what is embedded."""
        return {
            "labels": digest_of(list(self.labels)),
            "names": digest_of(list(self.names)),
            "descriptions": digest_of(list(self.descriptions)) if self.descriptions else None,
            "siblings": None if self.siblings is None else digest_of(self.siblings.tolist()),
        }
