"""Rows prepared once and joined to batches, for many short runs over the same rows in one process.

Decoding, image processing and tokens of a row cost more than a step of a small model; with a cache they are paid
once, whatever the number of runs, seeds and orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finedefics.collation import IGNORED, Batch, Collator

if TYPE_CHECKING:
    from torch import Tensor

    from finedefics.rows import TrainingRow

PICTURES = ("pixel_values", "pixel_attention_mask")
TEXTS = ("att", "cat", "neg_att", "neg_cat")


class RowCache:
    """Prepared rows of one processor, kept in memory; one cache serves runs of both stages and readings.

    Args:
        device: where the prepared tensors are kept (``cpu``, ``cuda``): what is small enough for a GPU's memory need
            not travel there at every step.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._kept: dict[tuple[Any, ...], Batch] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def collator(self, collator: Collator, processor: Any) -> JoiningCollator:
        """Return a collator whose batches equal those of `collator` (which `processor` made), made from this cache."""
        return JoiningCollator(collator, processor, self)

    def row(self, collator: Collator, row: TrainingRow) -> Batch:
        """Return a batch of one row."""
        way = (collator.reading, collator.answer_only, collator.texts, collator.end_of_utterance)
        key = (*way, row)
        if key not in self._kept:
            made = collator([row])
            self._kept[key] = {name: _to(value, self._device) for name, value in made.items()}
        return self._kept[key]


class JoiningCollator:
    """Makes batches of single prepared rows; equal to its collator's own."""

    def __init__(self, collator: Collator, processor: Any, cache: RowCache) -> None:
        self._collator, self._cache = collator, cache
        released = collator.reading == "released"
        pad = int(processor.tokenizer.pad_token_id)
        self._left = released and processor.tokenizer.padding_side == "left"
        self._fills = {"input_ids": pad, "attention_mask": 0}
        self._fills["labels"] = int(processor.image_token_id) if released else IGNORED
        for name in TEXTS:
            self._fills |= {f"{name}_tokens": pad, f"{name}_mask": 0}

    def __call__(self, rows: Sequence[TrainingRow]) -> Batch:
        """Make one batch; see `finedefics.collation.Collator.__call__`."""
        return self._joined([self._cache.row(self._collator, row) for row in rows])

    def _joined(self, singles: Sequence[Batch]) -> Batch:
        import torch

        batch: Batch = {}
        names = list(dict.fromkeys(name for single in singles for name in single))
        starts = _starts(singles)
        for name in names:
            parts = [single.get(name) for single in singles]
            there = [part for part in parts if part is not None]
            if not there:
                batch[name] = None
            elif name in self._fills:
                batch[name] = _padded(there, self._fills[name], self._left)
            elif name in PICTURES:
                batch[name] = _pictures(there)
            elif name == "image_rows":
                batch[name] = torch.cat([part + number for number, part in enumerate(there)])
            elif name == "pairs":
                moved = [
                    torch.where(part < 0, part, part + starts[n]) for n, part in enumerate(parts) if part is not None
                ]
                batch[name] = torch.cat(moved)
            else:
                batch[name] = torch.cat(there)
        return batch


def _starts(singles: Sequence[Batch]) -> list[int]:
    """Return how many negative categories come before those of each row."""
    counts = [0 if single.get("neg_cat_tokens") is None else len(single["neg_cat_tokens"]) for single in singles]
    return [sum(counts[:number]) for number in range(len(counts))]


def _padded(parts: Sequence[Tensor], fill: int, left: bool) -> Tensor:
    """Return rows of shape (n, tokens) under one another, filled up to the longest."""
    import torch
    from torch.nn.functional import pad

    width = max(part.shape[1] for part in parts)
    missing = [width - part.shape[1] for part in parts]
    sides = [(lack, 0) if left else (0, lack) for lack in missing]
    return torch.cat([pad(part, side, value=fill) for part, side in zip(parts, sides, strict=True)])


def _pictures(parts: Sequence[Tensor]) -> Tensor:
    """Return pixels or their masks under one another, zeros below and to the right, and for rows with fewer images."""
    import torch
    from torch.nn.functional import pad

    sizes = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
    grown = []
    for part in parts:
        sides = [edge for axis in reversed(range(1, part.ndim)) for edge in (0, sizes[axis - 1] - part.shape[axis])]
        grown.append(pad(part, sides))
    return torch.cat(grown)


def _to(value: Any, device: str) -> Any:
    return value.to(device) if hasattr(value, "to") else value
