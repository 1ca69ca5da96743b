"""Subsets of a split: the classes or examples of a list, by name (``seen``, ``unseen``) or from a file.

A list is a text file with a class or an example a line (``#`` starts a comment), or a JSON file: a list, or a
mapping of names to lists.  Classes may be spelt as published or as pages show them, with an archive's number
before them (``001.Black_footed_Albatross``); examples go by id, or by the key at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.annotations import read_lines
from fgvr_bench.core.files import digest, parse_json, write_text
from fgvr_bench.core.listing import example_ids
from fgvr_bench.core.names import did_you_mean, near, slug
from fgvr_bench.core.paths import at_home, cache_folder
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.types import Example, Json

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset

OPPOSITE = {"seen": "unseen", "unseen": "seen"}
"""Where one of the two is known, the other is all other classes."""


@dataclass(frozen=True, slots=True)
class Subset:
    """What a run asks about, of a split; call it with an example."""

    name: str
    """``seen``, ``unseen``, another imported name, or the name of a file."""
    classes: frozenset[str] = frozenset()
    """Published labels; empty where the list is of examples."""
    examples: frozenset[str] = frozenset()
    """Example ids; empty where the list is of classes."""

    def __call__(self, example: Example) -> bool:
        """Say whether the example belongs to the subset."""
        return example.label in self.classes or example.example_id in self.examples

    def inputs(self) -> dict[str, Json]:
        """Return what a run's identity says of it: which classes or examples these are, whatever the file."""
        kind, members = ("classes", self.classes) if self.classes else ("examples", self.examples)
        return {"name": self.name, "kind": kind, "count": len(members), "digest": digest(sorted(members))}


def read_subset(spec: str, dataset: Dataset, split: str) -> Subset:
    """Return the subset that `spec` names: an imported name, or a file.

    Raises:
        UsageError: no such name and no such file; says what to type.
        DataInvalid: a line that is neither a class nor an example of the split; names file and line.
    """
    name = dataset.card.name
    path = at_home(spec)
    if path.is_file():
        lists = _lists(path, path.stem)
        if path.stem not in lists:
            raise UsageError(
                f"{path} holds the lists {', '.join(sorted(lists))}; a run asks about one.",
                hint=f"Import them: fgvr-bench datasets subset {name} {path}; then name one with --subset.",
            )
        return _resolve(path.stem, lists[path.stem], dataset, split)
    stored = _stored(name)
    if spec in stored:
        return _resolve(spec, _lists(stored[spec], spec)[spec], dataset, split)
    other = OPPOSITE.get(spec)
    if other in stored:
        known = _resolve(other, _lists(stored[other], other)[other], dataset, split)
        return Subset(spec, frozenset(dataset.labels()) - known.classes)
    if path.suffix or "/" in spec:
        raise UsageError(
            f"there is no file {spec} with a subset of {name}.",
            hint="Name a file with a class or an example a line, or an imported list (seen, unseen).",
        )
    offered = did_you_mean(spec, stored) if stored else f"No list was imported for {name} yet."
    raise UsageError(
        f"there is no subset {spec!r} of {name}. {offered}",
        hint=f"Name a file with a class a line, or import one: fgvr-bench datasets subset {name} FILE --name {spec}",
    )


def import_subset(file: Path, dataset: Dataset, split: str, name: str | None = None) -> list[Subset]:
    """Keep the lists of a file under their names, for ``--subset NAME``, and return them.

    Args:
        file: a text file (one list, called `name`) or a JSON file (one list, or several with names).
        dataset: what the lists are of.
        split: whose examples a list may name.
        name: what a list without a name is called, by default as its file.

    Raises:
        DataInvalid: a line that is neither a class nor an example of the split; nothing is kept then.
    """
    lists = _lists(file, name or file.stem)
    subsets = [_resolve(key, items, dataset, split) for key, items in lists.items()]
    for subset in subsets:
        lines = sorted(subset.classes or subset.examples)
        write_text(_folder(dataset.card.name) / f"{slug(subset.name)}.txt", "".join(f"{line}\n" for line in lines))
    return subsets


def _folder(dataset_name: str) -> Path:
    return cache_folder() / "subsets" / slug(dataset_name)


def _stored(dataset_name: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted(_folder(dataset_name).glob("*.txt"))}


_Item = tuple[str, str]
"""(file and line, text)"""


def _lists(path: Path, name: str) -> dict[str, list[_Item]]:
    """Return the lists of a file by name."""
    if path.suffix.lower() != ".json":
        lines = ((number, text.partition("#")[0].strip()) for number, text in read_lines(path))
        return {name: [(f"{path}, line {number}", text) for number, text in lines if text]}
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataInvalid(f"{path} cannot be read as JSON: {error}.") from error
    lists = content if isinstance(content, Mapping) else {name: content}
    made: dict[str, list[_Item]] = {}
    for key, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise DataInvalid(f"{path}: {key!r} is no list of classes or examples.")
        made[key] = [(f"{path}, {key} entry {place}", item.strip()) for place, item in enumerate(items, 1)]
    return made


def _resolve(name: str, items: Sequence[_Item], dataset: Dataset, split: str) -> Subset:
    if not items:
        raise DataInvalid(f"the list {name!r} is empty.")
    labels = _spellings(dataset)
    known = [_label(text, labels) for _, text in items]
    what = f"of {dataset.card.name} {split}"
    if any(known):
        for (where, text), label in zip(items, known, strict=True):
            if label is None:
                meant = did_you_mean(text, dataset.labels())
                raise DataInvalid(f"{where}: {text!r} is no class {what}, and the list is one of classes. {meant}")
        return Subset(name, classes=frozenset(label for label in known if label))
    ids = _keys(example_ids(dataset.examples(split)))
    found: set[str] = set()
    for where, text in items:
        example_id = ids.get(text) or ids.get(text.rpartition("/")[2])
        if example_id is None:
            offered = near(text, dataset.labels())
            meant = f" Did you mean {' or '.join(offered)}?" if offered else ""
            raise DataInvalid(f"{where}: {text!r} is neither a class nor an example {what}.{meant}")
        found.add(example_id)
    return Subset(name, examples=frozenset(found))


def _spellings(dataset: Dataset) -> dict[str, str]:
    """Return label by spelling; a loose spelling that two labels share stands for neither."""
    loose: dict[str, str] = {}
    shared: set[str] = set()
    for label in dataset.labels():
        key = _loose(label)
        shared.update({key} & loose.keys())
        loose[key] = label
    return {key: label for key, label in loose.items() if key not in shared} | {
        label: label for label in dataset.labels()
    }


def _loose(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def _label(text: str, labels: Mapping[str, str]) -> str | None:
    plain = re.sub(r"^(\d{1,4}\.|n\d{8}-)", "", text)
    return labels.get(text) or labels.get(plain) or labels.get(_loose(plain))


def _keys(ids: Iterable[str]) -> dict[str, str]:
    """Return example id by id, and by the last part of it where that is enough."""
    known: dict[str, str] = {}
    twice: set[str] = set()
    for example_id in ids:
        key = example_id.rpartition("/")[2]
        if key in known:
            twice.add(key)
        known[key] = known[example_id] = example_id
    return {key: example_id for key, example_id in known.items() if key not in twice}
