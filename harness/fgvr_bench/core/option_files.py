"""Option sets: the answer choices of every example of a split, as mined, stored and looked up.

A set is a JSON Lines file.  Its first line is the header, which names all that the set came from; each other
line is an example, in the order of ids: ``example_id``, ``choices`` (the truth first), ``similarities``
(6 decimals; absent as null), ``truth_rank`` and ``truth_margin``.
"""

from __future__ import annotations

import array
import hashlib
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fgvr_bench.core.files import atomic_writer, canonical_json, parse_json
from fgvr_bench.core.option_rows import DECIMALS, FORMAT, VERSIONS, identity_line, read_lines, row_line
from fgvr_bench.errors import OptionsInvalid
from fgvr_bench.types import Example, Options

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset


class OptionSet:
    """The options of one split, read from a file.

    Takes ``20 + 6 k`` bytes an example: labels are kept as numbers, ids as 64-bit hashes.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.header = header
        """The first line: all that the set came from."""
        self.labels: tuple[str, ...] = tuple(header["labels"])
        self.digest = ""
        """SHA-256 over the rows' (example_id, choices): what a run's identity is made of."""
        self._ids = array.array("Q")
        self._starts = array.array("I", [0])
        self._choices = array.array("H" if len(self.labels) <= 0xFFFF else "I")
        self._similarities = array.array("f")
        self._ranks = array.array("I")
        self._margins = array.array("f")

    @classmethod
    def load(cls, path: Path) -> OptionSet:
        """Read and check a whole set.

        Raises:
            OptionsInvalid: absent, cut short, changed by hand, or a row that is no question.
            FormatUnknown: not an option set, or of a version that this one does not read.
        """
        loaded: OptionSet | None = None
        hasher = hashlib.sha256()
        for header, row in read_lines(path):
            if row is None:
                loaded = cls(path, header)
                index = {label: number for number, label in enumerate(loaded.labels)}
                continue
            assert loaded is not None  # noqa: S101 - the header comes first
            loaded._append(row, index)
            hasher.update(identity_line(row))
        assert loaded is not None  # noqa: S101
        loaded.digest = hasher.hexdigest()
        loaded._check_whole()
        return loaded

    def _append(self, row: Options, index: Mapping[str, int]) -> None:
        try:
            self._choices.extend([index[choice] for choice in row.choices])
        except KeyError as error:
            raise OptionsInvalid(
                f"{self.path}: {row.example_id} offers {error.args[0]!r}, which is none of the header's labels."
            ) from error
        self._ids.append(_hash_id(row.example_id))
        self._similarities.extend(
            [round(value, DECIMALS) for value in row.similarities] or [math.nan] * len(row.choices)
        )
        self._starts.append(len(self._choices))
        self._ranks.append(row.truth_rank or 0)
        self._margins.append(math.nan if row.truth_margin is None else round(row.truth_margin, DECIMALS))

    def _check_whole(self) -> None:
        expected = self.header.get("examples")
        if expected is not None and expected != len(self):
            raise OptionsInvalid(
                f"{self.path} has {len(self)} of {expected} rows; it was cut short.", hint="Delete it and mine again."
            )
        if self.header.get("digest", self.digest) != self.digest:
            raise OptionsInvalid(
                f"{self.path} was changed after it was written: its rows do not have the digest of its header.",
                hint="Delete it and mine again.",
            )

    def __len__(self) -> int:
        return len(self._ids)

    def choice_indices(self, row: int) -> Sequence[int]:
        """Return the choices of a row as positions in `labels`, the truth first."""
        return self._choices[self._starts[row] : self._starts[row + 1]]

    def row(self, row: int, example_id: str) -> Options:
        """Build the options of a row; the caller knows its id."""
        start, end = self._starts[row], self._starts[row + 1]
        found = self._similarities[start:end]
        margin = self._margins[row]
        return Options(
            example_id=example_id,
            choices=tuple(self.labels[number] for number in self._choices[start:end]),
            similarities=() if math.isnan(found[0]) else tuple(round(value, DECIMALS) for value in found),
            truth_rank=self._ranks[row] or None,
            truth_margin=None if math.isnan(margin) else round(margin, DECIMALS),
        )

    def check(self, dataset: Dataset, split: str, dataset_digest: str | None = None) -> None:
        """Make sure that the set was made for this split of this dataset, as it is now.

        ``dataset_digest`` None does not look at the images; nor does a set whose header has no digest (a
        published one, made from images that nobody can compare).

        Raises:
            OptionsInvalid: says which input changed.
        """
        for what, stored, now in (
            ("dataset", self.header["dataset"], dataset.card.name),
            ("split", self.header["split"], split),
        ):
            if stored != now:
                raise OptionsInvalid(f"{self.path} holds options of {what} {stored}, not of {now}.")
        build = f"Build them again with: fgvr-bench options build --dataset {dataset.card.name} --split {split}"
        if unknown := sorted(set(self.labels) - set(dataset.labels())):
            raise OptionsInvalid(
                f"{self.path} fits other labels: {dataset.card.name} has no {unknown[0]!r}"
                f"{f' (and {len(unknown) - 1} more)' if len(unknown) > 1 else ''}.",
                hint=build,
            )
        stored = self.header.get("dataset_digest")
        if stored and dataset_digest and stored != dataset_digest:
            raise OptionsInvalid(
                f"{self.path} was made from other images or labels of {dataset.card.name} {split}: "
                f"the dataset digest was {stored[:12]} then and is {dataset_digest[:12]} now.",
                hint=build,
            )

    def for_examples(self, examples: Sequence[Example]) -> Sequence[Options]:
        """Return the options of `examples` (sorted by id), in their order, each built when it is asked for.

        Raises:
            OptionsInvalid: an example has no row, or its truth is another.
        """
        rows = array.array("I")
        row, last = 0, ""
        for position in range(len(examples)):
            example = examples[position]
            if example.example_id <= last:
                raise ValueError(f"examples are not sorted: {example.example_id} comes after {last}")
            last = example.example_id
            wanted = _hash_id(example.example_id)
            while row < len(self) and self._ids[row] != wanted:
                row += 1
            if row == len(self):
                raise OptionsInvalid(
                    f"{self.path} has no options for {example.example_id}.",
                    hint=f"It was made for {len(self)} examples; build it again for these.",
                )
            truth = self.labels[self._choices[self._starts[row]]]
            if truth != example.label:
                raise OptionsInvalid(
                    f"{self.path}: the first choice of {example.example_id} is {truth!r}; "
                    f"the truth is {example.label!r} and has to be first."
                )
            rows.append(row)
        return _Aligned(self, examples, rows)


class _Aligned(Sequence[Options]):
    """Options beside examples."""

    def __init__(self, options: OptionSet, examples: Sequence[Example], rows: array.array[int]) -> None:
        self._options, self._examples, self._rows = options, examples, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Options: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Options]: ...
    def __getitem__(self, index: int | slice) -> Options | Sequence[Options]:
        if isinstance(index, slice):
            return _Aligned(self._options, self._examples[index], self._rows[index])
        return self._options.row(self._rows[index], self._examples[index].example_id)


def iter_options(path: Path) -> Iterator[Options]:
    """Yield the rows of a set one by one, in constant memory.

    Raises:
        OptionsInvalid: a damaged row.
        FormatUnknown: not an option set, or of a version that this one does not read.
    """
    return (row for _, row in read_lines(path) if row is not None)


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a set without reading its rows; raises as `OptionSet.load` does."""
    return next(read_lines(path))[0]


def write_options(path: Path, header: Mapping[str, Any], rows: Iterable[Options]) -> OptionSet:
    """Write a set whole and return what `OptionSet.load` would, without reading it again.

    The file gets ``format``, ``version``, ``examples`` and ``digest`` beside `header`, which has to hold
    ``dataset``, ``split`` and ``labels``.  Rows have to be sorted by id.
    A generator may return a mapping of what it found on its way; it is stored in the header under ``found``.

    Raises:
        OptionsInvalid: rows out of order.
        FgvrError: the folder cannot be written to.
    """
    written, hasher = OptionSet(path, header), hashlib.sha256()
    index = {label: number for number, label in enumerate(written.labels)}
    last = ""
    found: Mapping[str, Any] | None = None
    with atomic_writer(path) as file, tempfile.TemporaryFile(dir=path.parent) as spool:
        iterator = iter(rows)
        while True:
            try:
                row = next(iterator)
            except StopIteration as stop:
                found = stop.value
                break
            if row.example_id <= last:
                raise OptionsInvalid(f"{row.example_id} comes after {last}; option sets are sorted by id.")
            last = row.example_id
            spool.write(row_line(row))
            hasher.update(identity_line(row))
            written._append(row, index)
        # the header comes first in the file and is known last
        written.digest = hasher.hexdigest()
        about = {"format": FORMAT, "version": VERSIONS[-1], "examples": len(written), "digest": written.digest}
        line = canonical_json({**header, **about, **({"found": dict(found)} if found else {})}).encode()
        written.header = parse_json(line)
        file.write(line + b"\n")
        spool.seek(0)
        shutil.copyfileobj(spool, file, 1 << 20)
    return written


def annotate(path: Path, name: str, value: Any) -> None:
    """Put something that was learnt about a set into its header; the rows, and so its digest, stay as they are.

    Raises:
        OptionsInvalid: no option set.
        FgvrError: it cannot be written.
    """
    header = read_header(path) | {name: value}
    with path.open("rb") as old, atomic_writer(path) as new:
        old.readline()
        new.write(canonical_json(header).encode() + b"\n")
        shutil.copyfileobj(old, new, 1 << 20)


def _hash_id(example_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(example_id.encode(), digest_size=8).digest(), "little")
