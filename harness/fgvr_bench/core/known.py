"""What is known on this machine of what runs were asked about: labels, images, option sets, right answers.

A run names its dataset and its option set by digests.  Where the dataset or the published option set is at hand,
its questions can be held against them; where it is not, that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.host import Host
from fgvr_bench.core.listing import ORDINAL
from fgvr_bench.core.options import iter_options, resolve
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.published import MINER, base_name, fetch_published, has_published
from fgvr_bench.core.published_json import read_rows
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.types import Options

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset, DatasetPlugin


@dataclass(slots=True)
class Known:
    """What is known of what one run was asked about."""

    labels: tuple[str, ...] | None = None
    """All labels of the dataset, in published order."""
    images: str | None = None
    """Digest of the split as it is here."""
    vouched: bool = False
    """Whether that digest is the dataset's own word and not that of files, of which there may be other copies."""
    options: Callable[[str], Options | None] | None = None
    """The options of an example, by its id."""
    truth: Callable[[str], str | None] | None = None
    """The label of an example, by its id."""
    options_digest: str | None = None
    """Digest of the option set; None where it can only be had with the ids of a dataset."""
    examples: int | None = None
    """How many examples a run without a subset asks about."""
    source: str = ""
    """What the options came from, in words."""
    absent: list[str] = field(default_factory=list)
    """What could not be had, in words that say how to get it."""


class Knowledge:
    """Looks up what is known, once for each dataset and option set."""

    def __init__(
        self, host: Host, roots: Sequence[Path] = (), *, obtain: bool = False, progress: Progress = quiet
    ) -> None:
        """Prepare to look.

        Args:
            host: plugins, for the datasets.
            roots: folders to look for datasets in.
            obtain: download published option sets, and mine those of datasets that are here.
            progress: told what takes time.
        """
        self._host, self._roots, self._obtain, self._progress = host, data_roots(roots), obtain, progress
        self._found: dict[tuple[Any, ...], Known] = {}

    def of(self, inputs: Mapping[str, Any]) -> Known:
        """Return what is known of what a run with these inputs was asked about."""
        options = inputs.get("options") or {}
        asked = (inputs["dataset"]["name"], inputs["dataset"]["split"], options.get("miner"), options.get("k"))
        key = (*asked, "imported" in inputs)
        if key not in self._found:
            self._found[key] = self._look(*asked, foreign="imported" in inputs)
        return self._found[key]

    def _look(self, name: str, split: str, miner: str | None, k: int | None, foreign: bool) -> Known:
        known = Known()
        try:
            plugin, argument = self._host.datasets.find(name)
        except FgvrError:
            known.absent.append(f"labels, options and right answers (no plugin here has a dataset {name})")
            return known
        known.labels = tuple(plugin.class_counts(split)) or None
        dataset = None
        try:
            dataset = plugin.open(self._roots, argument)
            self._of_dataset(known, dataset, split, foreign)
        except FgvrError:
            known.absent.append(f"images ({name} is not on this machine)")
        if miner in {None, MINER} or foreign:
            self._of_published(known, plugin, split)
        else:
            self._of_mined(known, dataset, plugin, split, str(miner), k)
        if known.truth is None:
            known.absent.append(f"right answers (neither {name} nor its published option set is on this machine)")
        return known

    def _of_dataset(self, known: Known, dataset: Dataset, split: str, foreign: bool) -> None:
        examples = dataset.examples(split)
        known.images = dataset_digest(dataset, split, self._progress)
        known.vouched = dataset.source_digest(split) is not None
        known.labels = tuple(dataset.labels())
        known.examples = len(examples)
        if not foreign:  # answers of others go by the names of images alone
            known.truth = {example.example_id: example.label for example in examples}.get

    def _of_published(self, known: Known, plugin: DatasetPlugin, split: str) -> None:
        """Take the published JSON file, which names images by their base names: that needs no dataset."""
        card = plugin.card
        if card.published is None or card.published.split != split:
            return
        if not (self._obtain or has_published(card, split)):
            known.absent.append(f"options (fgvr-bench options fetch {card.name})")
            return
        try:
            file = fetch_published(card, split, self._progress)
        except FgvrError as error:
            known.absent.append(f"options ({error.message})")
            return
        rows: dict[tuple[str, int], Options] = {}
        for row in read_rows(file, file.read_bytes()):
            number = 1
            while (base_name(row.image), number) in rows:
                number += 1
            rows[base_name(row.image), number] = Options(f"{card.name}/{split}/{row.image}", row.options)
        known.source = "the published option set"
        known.examples = len(rows)
        known.options = lambda example_id: rows.get(_place(example_id))
        known.truth = lambda example_id: getattr(rows.get(_place(example_id)), "truth", None)

    def _of_mined(
        self, known: Known, dataset: Dataset | None, plugin: DatasetPlugin, split: str, miner: str, k: int | None
    ) -> None:
        if dataset is None or miner not in self._host.miners:
            known.absent.append(f"options (mined by {miner}; {plugin.card.name} is not on this machine)")
            return
        own = self._obtain and miner == plugin.card.options
        try:
            mining = MiningSettings(k=k or MiningSettings().k)
            found = resolve(
                dataset, split, miner, mining,
                dataset_digest=known.images, progress=self._progress, build=own, plugins=self._host,
            )  # fmt: skip
        except FgvrError:
            build = f"fgvr-bench options build --dataset {plugin.card.name} --miner {miner}"
            known.absent.append(f"options ({build})")
            return
        known.source = f"the option set of {plugin.card.name}"
        known.options_digest = found.digest
        known.options = {row.example_id: row for row in iter_options(found.path)}.get


def _place(example_id: str) -> tuple[str, int]:
    repeated = ORDINAL.fullmatch(example_id)
    return (base_name(repeated[1]), int(repeated[2])) if repeated else (base_name(example_id), 1)
