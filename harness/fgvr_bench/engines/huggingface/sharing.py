"""One picture, several questions: where a batch asks about a picture more than once, it is encoded once."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Shared:
    """Which rows of a batch show the same picture."""

    picture: tuple[int, ...]
    """For each row the number of its picture, counted in the order of first rows."""
    first: tuple[int, ...]
    """For each picture the first row that shows it."""
    sizes: dict[str, tuple[int, ...]]
    """For each input of the model: how many entries of its first dimension each row has."""


def find_shared(sources: Sequence[Any], items: Sequence[dict[str, Any]]) -> Shared | None:
    """Return which rows show the same picture, or None where each shows its own.

    Args:
        sources: where the picture of each row comes from; equal sources are one picture.
        items: the model's inputs for each row.
    """
    first: dict[Any, int] = {}
    rows = [first.setdefault(_key(source), row) for row, source in enumerate(sources)]
    if len(first) == len(rows):
        return None
    numbers = {row: number for number, row in enumerate(first.values())}
    keys = [key for key, value in items[0].items() if hasattr(value, "shape")]
    sizes = {key: tuple(int(item[key].shape[0]) for item in items) for key in keys}
    return Shared(tuple(numbers[row] for row in rows), tuple(first.values()), sizes)


def _key(source: Any) -> Any:
    try:
        hash(source)
    except TypeError:
        return id(source)
    return source


@contextlib.contextmanager
def pictures_once(model: Any, shared: Shared | None) -> Iterator[None]:
    """While the block runs, let a model encode each picture once and use that for every row that shows it.

    A model whose image features come in a form that is not understood encodes every row, as without this.
    """
    part = next((part for part in (model.base_model, model) if hasattr(part, "get_image_features")), None)
    if shared is None or part is None:
        yield
        return
    encode = part.get_image_features

    @functools.wraps(encode)
    def encode_once(*args: Any, **kwargs: Any) -> Any:
        named = inspect.signature(encode).bind(*args, **kwargs).arguments
        named |= named.pop("kwargs", {})
        if not all(_alike(name, value, shared) for name, value in named.items()):
            return encode(*args, **kwargs)  # the question itself is a part of what the picture is encoded with
        found = encode(**{name: _firsts(name, value, shared) for name, value in named.items()})
        expanded = _for_rows(getattr(found, "pooler_output", None), shared)
        if expanded is None or getattr(found, "deepstack_features", None) is not None:
            return encode(*args, **kwargs)
        found.pooler_output = expanded
        return found

    part.get_image_features = encode_once
    try:
        yield
    finally:
        del part.get_image_features


def _rows(name: str, value: Any, shared: Shared) -> list[slice] | None:
    """Return where each row lies in an input, or None where it has none."""
    sizes = shared.sizes.get(name)
    if sizes is None or not hasattr(value, "shape") or value.shape[0] != sum(sizes):
        return None
    stops = list(itertools.accumulate(sizes))
    return [slice(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]


def _alike(name: str, value: Any, shared: Shared) -> bool:
    """Say whether an input is the same for all rows of each picture."""
    rows = _rows(name, value, shared)
    if rows is None:
        return True
    firsts = [rows[shared.first[picture]] for picture in shared.picture]
    return all(own is first or value[own].equal(value[first]) for own, first in zip(rows, firsts, strict=True))


def _firsts(name: str, value: Any, shared: Shared) -> Any:
    """Keep of an input what belongs to the first row of each picture."""
    rows = _rows(name, value, shared)
    if rows is None:
        return value
    import torch

    return torch.cat([value[rows[row]] for row in shared.first])


def _for_rows(features: Any, shared: Shared) -> Any:
    """Return the features of pictures as features of rows; None where they are no one entry a picture or tile."""
    if features is None:
        return None
    places = _places(len(features), shared)
    if places is None:
        return None
    if isinstance(features, list | tuple):
        return type(features)(features[place] for place in places)
    import torch

    tensor: torch.Tensor = features
    return tensor[torch.tensor(places, device=tensor.device)]


def _places(count: int, shared: Shared) -> list[int] | None:
    """Return which entries belong to each row in turn, entries being pictures or their tiles."""
    if count == len(shared.first):
        return list(shared.picture)
    for sizes in shared.sizes.values():
        of_pictures = [sizes[row] for row in shared.first]
        if count == sum(of_pictures):
            starts = [sum(of_pictures[:number]) for number in range(len(of_pictures))]
            return [
                place
                for number in shared.picture
                for place in range(starts[number], starts[number] + of_pictures[number])
            ]
    return None
