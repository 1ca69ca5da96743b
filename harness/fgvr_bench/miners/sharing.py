"""Embedding images, alone or with the other ranks: batches in order, whoever computed them.

A rank takes the next batch whenever it has room for one (`fgvr_bench.core.ranks`), and its rows come to rank 0 through
the store: ranks need no folder in common.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.ranks import Claims, Ranks, at_hand
from fgvr_bench.errors import FgvrError
from fgvr_bench.miners.encoder import Begun, Encoder
from fgvr_bench.miners.reading import ImageBatch, read_images
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.core.host import Host
    from fgvr_bench.interfaces import MiningSettings

BATCH_ON_GPU, BATCH = 64, 32
MOST_WORKERS = 16


class Beside(Protocol):
    """What is done with images while they are read for something else."""

    def see(self, batch: ImageBatch) -> None:
        """Take a batch."""

    def finish(self) -> None:
        """Be done with all that was seen."""

    @property
    def dtypes(self) -> list[str]:
        """The precisions in which some images are embedded beside."""

    def take(self, dtype: str, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Take in what another rank has embedded beside."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embeddings of a batch."""

    indices: list[int]
    """Positions of its examples."""
    rows: NDArray[np.float32]
    """Shape (indices, dimensions); NaN for images that cannot be read."""
    unreadable: dict[int, str]
    """By position: why."""

    def to_bytes(self) -> bytes:
        """Return it as it travels."""
        return json.dumps([self.indices, sorted(self.unreadable.items())]).encode() + b"\n" + self.rows.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Embedded:
        """Read it back."""
        import numpy as np

        head, _, rows = data.partition(b"\n")
        indices, unreadable = json.loads(head)
        return cls(indices, np.frombuffer(rows, np.float32).reshape(len(indices), -1), dict(map(tuple, unreadable)))


def embedded(
    examples: Sequence[Example],
    indices: Sequence[int],
    encoder: Encoder,
    settings: MiningSettings,
    dimensions: int,
    beside: Beside | None = None,
) -> Iterator[Embedded]:
    """Yield the embeddings of some examples, batch by batch, in order; other ranks compute some, where there are any.

    Args:
        examples: of one split of a dataset.
        indices: which of them.
        encoder: what embeds them.
        settings: batch size, workers, and how other ranks find the dataset.
        dimensions: of an embedding.
        beside: is shown every batch that is read here, and given what other ranks made beside of theirs.
    """
    on_gpu = encoder.loaded.device.startswith("cuda")
    size = settings.batch_size or (BATCH_ON_GPU if on_gpu else BATCH)
    ranks = at_hand()
    if ranks is None or not _is_shared(settings) or len(indices) <= size:
        batches = read_images(examples, indices, size, encoder.loaded.preprocessing, settings.workers)
        for _, each in _embed(encoder, batches, dimensions, beside):
            yield each
        return
    yield from _shared(ranks, examples, indices, size, encoder, settings, dimensions, beside)


def load_on_ranks(encoder: Encoder, examples: Sequence[Example], settings: MiningSettings) -> None:
    """Let the other ranks, where there are any, load an encoder while this one does; nobody waits for it here."""
    ranks = at_hand()
    if ranks is not None and _is_shared(settings):
        where = _whereabouts(encoder, examples, settings)
        ranks.order("mine", deed="load", where=where, dtype=encoder.dtype)


def _is_shared(settings: MiningSettings) -> bool:
    return settings.dataset_name is not None and settings.dataset_digest is not None


def _whereabouts(encoder: Encoder, examples: Sequence[Example], settings: MiningSettings) -> dict[str, Any]:
    """Return what another rank finds dataset and weights by."""
    return {
        "dataset": settings.dataset_name,
        "roots": [str(root) for root in settings.data_roots],
        "split": examples[0].split,
        "digest": settings.dataset_digest,
        "checkpoint": encoder.checkpoint,
        "device": settings.device,
        "read_as": encoder.root.dtype,
    }


def _embed(
    encoder: Encoder, batches: Iterable[ImageBatch], dimensions: int, beside: Beside | None
) -> Iterator[tuple[int, Embedded]]:
    """Yield the number and the embeddings of each batch that is read."""
    import numpy as np

    for batch, begun in begun_ahead(encoder, batches):
        rows = np.full((len(batch.indices), dimensions), np.nan, np.float32)
        if begun is not None:
            rows[[index not in batch.unreadable for index in batch.indices]] = begun.rows()
        yield batch.number, Embedded(batch.indices, rows, batch.unreadable)
        if beside is not None:
            beside.see(batch)
    if beside is not None:
        beside.finish()


def begun_ahead(encoder: Encoder, batches: Iterable[ImageBatch]) -> Iterator[tuple[ImageBatch, Begun | None]]:
    """Yield batches with what the device makes of them, None without a readable image.

    On a GPU they come one behind it: it has its next batch before anybody waits for the rows of the last.
    """
    behind = 1 if encoder.loaded.device.startswith("cuda") else 0
    under_way: deque[tuple[ImageBatch, Begun | None]] = deque()
    for batch in batches:
        under_way.append((batch, None if batch.pixels is None else encoder.begin(batch.pixels)))
        if len(under_way) > behind:
            yield under_way.popleft()
    yield from under_way


def _shared(
    ranks: Ranks,
    examples: Sequence[Example],
    indices: Sequence[int],
    size: int,
    encoder: Encoder,
    settings: MiningSettings,
    dimensions: int,
    beside: Beside | None,
) -> Iterator[Embedded]:
    """Share the batches with the other ranks (rank 0)."""
    import numpy as np

    key, total = f"embed/{secrets.token_hex(4)}", -(-len(indices) // size)
    ranks.join()
    ranks.put(f"{key}/indices", np.asarray(indices, "<i8").tobytes())
    ranks.order(
        "mine",
        deed="embed",
        key=key,
        where=_whereabouts(encoder, examples, settings),
        dtype=encoder.dtype,
        beside=beside.dtypes if beside is not None else [],
        size=size,
        workers=settings.workers,
        dimensions=dimensions,
    )
    claims = ranks.claims(key, total)
    done: dict[int, Embedded] = {}
    following = 0

    def in_order() -> Iterator[Embedded]:
        nonlocal following
        while following < total:
            each = done.pop(following, None)
            if each is None:
                if (data := ranks.fetch(f"{key}/{following}")) is None:
                    return
                each = Embedded.from_bytes(data)
            following += 1
            yield each

    try:
        batches = _read_claimed(ranks, examples, indices, size, encoder, settings.workers, claims)
        for number, each in _embed(encoder, batches, dimensions, beside):
            done[number] = each
            ranks.look_around()
            ranks.check_replies()
            yield from in_order()
        for _ in ranks.waiting():
            yield from in_order()
        counts = ranks.replies()
        yield from in_order()
    finally:
        claims.end()
    for rank, dtypes in counts.items():
        for dtype in dtypes:
            data = ranks.fetch(f"{key}/beside/{dtype}/{rank}")
            if beside is not None and data is not None:  # a rank whose batches held none of the sample sends nothing
                other = Embedded.from_bytes(data)
                beside.take(dtype, other.indices, other.rows)


def _read_claimed(
    ranks: Ranks,
    examples: Sequence[Example],
    indices: Sequence[int],
    size: int,
    encoder: Encoder,
    workers: int | None,
    claims: Claims,
) -> Iterator[ImageBatch]:
    if workers is None:
        workers = max(1, min(MOST_WORKERS, cores() // ranks.place.sharing))
    return read_images(examples, indices, size, encoder.loaded.preprocessing, workers, claims)


class _Collected:
    """Rows that a rank embeds beside, until rank 0 takes them."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.rows: list[NDArray[np.float32]] = []

    def __contains__(self, index: int) -> bool:
        return False

    def put(self, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Keep rows that are computed."""
        self.indices += indices
        self.rows.append(rows)


class _Here:
    """A dataset and an encoder as this rank has them."""

    def __init__(self, ranks: Ranks, plugins: Host, where: Mapping[str, Any]) -> None:
        """Open and load what rank 0 names.

        Raises:
            FgvrError: the dataset is another one here.
        """
        name, split = where["dataset"], where["split"]
        plugin, argument = plugins.datasets.find(name)
        opened = plugin.open(data_roots([Path(root) for root in where["roots"]]), argument)
        if (digest := dataset_digest(opened, split)) != where["digest"]:
            raise FgvrError(
                f"it has another {name} {split}: its digest is {digest}, not {where['digest']}.",
                hint="Give all machines the same data, and start all again.",
            )
        self.examples = opened.examples(split)
        root = Encoder(where["checkpoint"], ranks.place.device(where["device"]), where["read_as"])
        self._encoders = {root.dtype: root}
        self._root = root

    @classmethod
    def of(cls, ranks: Ranks, plugins: Host, kept: dict[Any, Any], where: Mapping[str, Any]) -> _Here:
        """Return what an earlier call has left, or a new one."""
        key = json.dumps(where, sort_keys=True)
        if key not in kept:
            kept.clear()  # one encoder at a time
            kept[key] = cls(ranks, plugins, where)
        found: _Here = kept[key]
        return found

    def encoder(self, dtype: str) -> Encoder:
        """Return the encoder in a precision."""
        if dtype not in self._encoders:
            self._encoders[dtype] = self._root.in_precision(dtype)
        return self._encoders[dtype]


def load_for(ranks: Ranks, plugins: Host, kept: dict[Any, Any], *, where: Mapping[str, Any], dtype: str) -> None:
    """Open the dataset and load the encoder that rank 0 will want; see `embed_for`."""
    _ = _Here.of(ranks, plugins, kept, where).encoder(dtype).loaded


def embed_for(
    ranks: Ranks,
    plugins: Host,
    kept: dict[Any, Any],
    *,
    key: str,
    where: Mapping[str, Any],
    dtype: str,
    beside: Sequence[str],
    size: int,
    workers: int | None,
    dimensions: int,
) -> list[str]:
    """Embed batches for rank 0 as long as there are any; return the precisions of what was embedded beside.

    Args:
        ranks: the way to rank 0.
        plugins: to open the dataset with.
        kept: what earlier calls have left.
        key: under which the store has the positions, and takes the rows.
        where: dataset and checkpoint (`_whereabouts`).
        dtype: precision of the rows.
        beside: precisions in which some images are embedded beside.
        size: images a batch.
        workers: processes that read ahead.
        dimensions: of an embedding.

    Raises:
        FgvrError: the dataset is another one here.
    """
    import numpy as np

    from fgvr_bench.miners.fast import SampledBeside

    here = _Here.of(ranks, plugins, kept, where)
    indices = np.frombuffer(ranks.take(f"{key}/indices"), "<i8").tolist()
    collected = {each: _Collected() for each in beside}
    finer = [(here.encoder(each), rows) for each, rows in collected.items()]
    sampled = SampledBeside(finer, len(here.examples)) if finer else None
    claims = ranks.claims(key, -(-len(indices) // size))
    encoder = here.encoder(dtype)
    try:
        batches = _read_claimed(ranks, here.examples, indices, size, encoder, workers, claims)
        for number, each in _embed(encoder, batches, dimensions, sampled):
            ranks.put(f"{key}/{number}", each.to_bytes())
    except BaseException:
        claims.end()
        raise
    for precision, rows in collected.items():
        if rows.indices:
            data = Embedded(rows.indices, np.concatenate(rows.rows), {}).to_bytes()
            ranks.put(f"{key}/beside/{precision}/{ranks.place.rank}", data)
    return list(collected)
