"""Option sets that others published, in the JSON of FOCI-Benchmark: import, export byte for byte, and fetch.

Such a file maps a label to a list of ``{"image", "options", "groundtruth"}``.  Its images are matched to a
dataset's examples by path, or else by base name, whatever the layout.  An image that it lists twice becomes two
questions; the second one's id ends with ``~2``.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.fetch import Offline, download, hash_file
from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.listing import ORDINAL, example_ids, select
from fgvr_bench.core.locks import lock
from fgvr_bench.core.names import slug
from fgvr_bench.core.option_files import OptionSet, iter_options, read_header, write_options
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.published_json import PublishedRow, read_rows, recipe_of, render
from fgvr_bench.errors import FgvrError, OptionsInvalid
from fgvr_bench.types import Example, Options

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset, DatasetCard, PublishedOptions

MINER = "published"
FOREIGN = "imported"
"""Miner of a set that was imported but is not the one that the dataset's card pins."""


def published_set(dataset: Dataset, split: str, progress: Progress = quiet) -> Path:
    """Return the dataset's published option set, fetched and converted once.

    Raises:
        OptionsInvalid: there is none, or it cannot be had; says what to type.
    """
    source = _source(dataset.card, split)
    path = set_path(dataset.card, source)
    if _is_from(path, source.sha256):
        return path
    try:
        raw = fetch_published(dataset.card, split, progress)
    except Offline as error:
        name = dataset.card.name
        raise OptionsInvalid(
            f"the published option set of {name} is not on this machine. {error.message}",
            hint=f"With a network: fgvr-bench options fetch {name}. With the file {os.path.basename(source.url)}: "
            f"fgvr-bench options import --dataset {name} FILE. To mine options here instead: --options clip.",
        ) from error
    with lock(path.with_suffix(".lock"), f"converting options of {dataset.card.name}"):
        if not _is_from(path, source.sha256):
            import_options(raw, dataset, split, path)
    return path


def set_path(card: DatasetCard, source: PublishedOptions) -> Path:
    """Return where the converted set is kept."""
    return cache_folder() / "options" / slug(card.name) / f"{slug(source.split)}-published-{source.sha256[:12]}.jsonl"


def fetch_published(card: DatasetCard, split: str = "test", progress: Progress = quiet) -> Path:
    """Download the published JSON file of a dataset into the cache, unless it is there, and return its path.

    Raises:
        OptionsInvalid: the dataset has no published set for this split.
        Offline: the network is off, or the server does not answer.
        DataInvalid: what came is not the published file.
    """
    source = _source(card, split)
    path = _fetched_path(source)
    if not _is_fetched(source):
        download(source.url, f"sha256:{source.sha256}", path, progress=progress)
    return path


def has_published(card: DatasetCard, split: str) -> bool:
    """Say whether the dataset's published JSON file is on this machine."""
    return card.published is not None and card.published.split == split and _is_fetched(card.published)


def _is_fetched(source: PublishedOptions) -> bool:
    path = _fetched_path(source)
    return path.is_file() and hash_file(path) == source.sha256


def _fetched_path(source: PublishedOptions) -> Path:
    return cache_folder() / "published" / os.path.basename(source.url)


def examples_of(option_set: OptionSet, examples: Sequence[Example]) -> Sequence[Example]:
    """Return the examples that a set asks about, in the order of their ids.

    For a mined set these are all of the split.  A published one may ask about an image twice and leave out
    another (dog-120 does).

    Raises:
        OptionsInvalid: the set asks about an image that the dataset does not hold.
    """
    if option_set.header.get("miner") not in (MINER, FOREIGN):
        return examples
    return select(examples, [row.example_id for row in iter_options(option_set.path)])


def import_options(file: Path, dataset: Dataset, split: str, destination: Path) -> OptionSet:
    """Convert a published JSON file to an option set for `dataset`, and return it.

    Raises:
        OptionsInvalid: no such file, or one that does not fit the dataset; names label and place.
    """
    raw = _read(file)
    sha256 = hashlib.sha256(raw).hexdigest()
    rows = _matched(file, read_rows(file, raw), dataset, split)
    order = sorted(range(len(rows)), key=lambda place: rows[place].example_id)
    published = dataset.card.published
    known = published is not None and published.sha256 == sha256 and published.split == split
    counts = Counter(len(row.options) for row in rows)
    header: dict[str, Any] = {
        "dataset": dataset.card.name,
        "split": split,
        "miner": MINER if known else FOREIGN,
        "k": max(counts, default=0),
        "seed": None,
        "labels": list(dataset.labels()),
        "miner_inputs": {"source_sha256": sha256},
        "source": recipe_of(file.name, raw, rows, order),
    }
    if known and published is not None:
        header["miner_inputs"] |= {"model": published.model, "weights": published.weights}
        header["source"]["url"] = published.url
    return write_options(destination, header, (Options(rows[place].example_id, rows[place].options) for place in order))


def export_options(path: Path) -> bytes:
    """Return an imported set as the JSON file that it came from, byte for byte.

    Raises:
        OptionsInvalid: the set was not imported, or was made so that the bytes cannot be given back.
    """
    header = read_header(path)
    source = header.get("source")
    if not isinstance(source, Mapping):
        raise OptionsInvalid(
            f"{path} was mined here, not imported, so there is no file of others to give back.",
            hint="An option set is itself a JSON Lines file that anyone may read.",
        )
    raw = render(list(iter_options(path)), source)
    if hashlib.sha256(raw).hexdigest() != source["sha256"]:
        raise OptionsInvalid(f"the bytes of {source['name']} cannot be given back from {path}.")
    return raw


def write_export(path: Path, destination: Path) -> None:
    """Write `export_options` of a set to a file."""
    raw = export_options(path)
    with atomic_writer(destination) as file:
        file.write(raw)


def _source(card: DatasetCard, split: str) -> PublishedOptions:
    if card.published is None or card.published.split != split:
        raise OptionsInvalid(
            f"nobody has published an option set for {card.name} {split}.", hint="Mine one: --options clip"
        )
    return card.published


def _is_from(path: Path, sha256: str) -> bool:
    try:
        header = read_header(path)
        return header.get("source", {}).get("sha256") == sha256 and len(OptionSet.load(path)) > 0
    except FgvrError:
        return False


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OptionsInvalid(f"{file} cannot be read: {error.strerror or error}.") from error


def base_name(image: str) -> str:
    """Return what a published file's image and a dataset's example are matched by."""
    return os.path.basename(_path_name(image))


def _path_name(image: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(image)[0])


def _places(examples: Sequence[Example]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the places of the examples by key and by base name; ordinals are no images of their own."""
    by_key: dict[str, int] = {}
    by_name: dict[str, list[int]] = {}
    for place, example_id in enumerate(example_ids(examples)):
        if not ORDINAL.fullmatch(example_id):
            key = _path_name(example_id).split("/", 2)[2]
            by_key[key] = place
            by_name.setdefault(os.path.basename(key), []).append(place)
    return by_key, by_name


def _matched(file: Path, rows: list[PublishedRow], dataset: Dataset, split: str) -> list[PublishedRow]:
    """Give each row the id of its example; repetitions get ordinals."""
    examples = dataset.examples(split)
    by_key, by_name = _places(examples)
    labels = set(dataset.labels())
    asked: Counter[int] = Counter()
    matched: list[PublishedRow] = []
    for row in rows:
        path = _path_name(row.image)
        places = [by_key[path]] if path in by_key else by_name.get(os.path.basename(path), [])
        if len(places) != 1:
            what = "more than one" if places else "no"
            raise OptionsInvalid(f"{file}: {dataset.card.name} {split} has {what} image called {row.image}.")
        (place,) = places
        example = examples[place]
        unknown = [option for option in row.options if option not in labels]
        if unknown:
            raise OptionsInvalid(f"{file}: {row.image} is offered {unknown[0]!r}, no label of {dataset.card.name}.")
        if example.label != row.label:
            raise OptionsInvalid(
                f"{file}: {row.image} is {row.label!r} there and {example.label!r} in {dataset.card.name}."
            )
        asked[place] += 1
        ordinal = f"~{asked[place]}" if asked[place] > 1 else ""
        matched.append(PublishedRow(row.label, row.image, row.options, example.example_id + ordinal))
    return matched
