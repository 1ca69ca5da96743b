"""A contrastive model as the miners use it: loaded when it is first needed, its text embeddings kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fgvr_bench.core.files import atomic_writer, digest
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import OutOfMemory, UsageError
from fgvr_bench.types import Json

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fgvr_bench.engines.open_clip import LoadedClip
    from fgvr_bench.interfaces import Dataset

DEFAULT_TEMPLATE = "an image of a {label}"


class Begun:
    """A batch that the device works on."""

    def __init__(self, parts: Sequence[torch.Tensor]) -> None:
        self._parts = [_on_its_way(part) for part in parts]

    def __add__(self, other: Begun) -> Begun:
        both = Begun([])
        both._parts = [*self._parts, *other._parts]
        return both

    def rows(self) -> NDArray[np.float32]:
        """Wait for the embeddings and return them, shape (n, dimensions)."""
        import numpy as np

        for _, arrived in self._parts:
            if arrived is not None:
                arrived.synchronize()
        return np.concatenate([part.numpy().astype(np.float32) for part, _ in self._parts])


def _on_its_way(embedded: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """Return the tensor that receives what a device computes, and what says that it is there."""
    import torch

    if not embedded.is_cuda:
        return embedded.cpu(), None
    here = torch.empty(embedded.shape, dtype=embedded.dtype, pin_memory=True)
    here.copy_(embedded, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(embedded.device))
    return here, arrived


class Encoder:
    """One checkpoint in one precision."""

    def __init__(self, checkpoint: str, device: str = "auto", dtype: str = "float32") -> None:
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        self._weights_of: Encoder | None = None

    def in_precision(self, dtype: str) -> Encoder:
        """Return the same checkpoint in another precision; its weights are read once for both."""
        other = Encoder(self.checkpoint, self.device, dtype)
        other._weights_of = self
        return other

    @property
    def root(self) -> Encoder:
        """The encoder whose weights were read."""
        return self if self._weights_of is None else self._weights_of.root

    @cached_property
    def identity(self) -> Mapping[str, Json]:
        """What the embeddings depend on beside the image: checkpoint, precision, and open_clip's version.

        The preprocessing is the checkpoint's own, as that version reads it.

        Raises:
            UsageError, ModelUnavailable: no such checkpoint.
        """
        from fgvr_bench.engines.open_clip import clip_identity

        version = importlib.metadata.version("open_clip_torch")
        return {**clip_identity(self.checkpoint), "dtype": self.dtype, "open_clip": version}

    @property
    def declared(self) -> dict[str, Json]:
        """`identity` for a header, where versions stand apart."""
        return {name: value for name, value in self.identity.items() if name != "open_clip"}

    @cached_property
    def loaded(self) -> LoadedClip:
        """The model; several seconds the first time."""
        from fgvr_bench.engines.open_clip import load_open_clip

        if self._weights_of is not None:
            return self._weights_of.loaded.in_precision(self.dtype)
        return load_open_clip(self.checkpoint, self.device, self.dtype)

    def images(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """Return unit-length embeddings, shape (n, dimensions); a batch that does not fit is halved."""
        return self.begin(pixels).rows()

    def begin(self, pixels: torch.Tensor) -> Begun:
        """Give a batch to the device, and do not wait for it; a batch that does not fit is halved."""
        try:
            return Begun([self.loaded.encode_images(pixels)])
        except OutOfMemory:
            if len(pixels) == 1:
                raise
        half = len(pixels) // 2
        return self.begin(pixels[:half]) + self.begin(pixels[half:])

    def labels(self, labels: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
        """Return one unit-length embedding a label, shape (labels, dimensions).

        With several templates it is the mean of their unit-length embeddings, made unit length again.
        """
        import numpy as np

        texts = [fill(template, label) for template in templates for label in labels]
        each = self._texts(texts).reshape(len(templates), len(labels), -1)
        mean: NDArray[np.float64] = each[0] if len(templates) == 1 else each.mean(axis=0)
        return mean if len(templates) == 1 else mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _texts(self, texts: list[str]) -> NDArray[np.float64]:
        import numpy as np

        key = digest({"encoder": self.identity, "texts": hashlib.sha256("\0".join(texts).encode()).hexdigest()})
        path = cache_folder() / "embeddings" / f"texts-{key[:32]}.npy"
        try:
            kept: NDArray[np.float64] = np.load(path)
            if kept.shape[0] == len(texts):
                return kept
        except (OSError, ValueError):
            pass  # not there yet, or damaged: made again
        made: NDArray[np.float64] = self.loaded.encode_texts(texts).cpu().numpy().astype(np.float64)
        with atomic_writer(path) as file:
            np.save(file, made)
        return made


def fill(template: str, label: str) -> str:
    """Put a label into a template (no other brace has a meaning).

    >>> fill("an image of a {label}", "Tree_Sparrow")
    'an image of a Tree_Sparrow'
    """
    return template.replace("{label}", label)


def read_templates(text: str) -> tuple[str, ...]:
    """Split a template setting at its bars.

    >>> read_templates("a photo of a {label}|a drawing of a {label}")
    ('a photo of a {label}', 'a drawing of a {label}')

    Raises:
        UsageError: a template without ``{label}``.
    """
    templates = tuple(text.split("|"))
    for template in templates:
        if "{label}" not in template:
            raise UsageError(f"template {template!r} has no {{label}}.", hint=f"For example: {DEFAULT_TEMPLATE}")
    return templates


def default_checkpoint(dataset: Dataset) -> tuple[str, str]:
    """Return checkpoint and precision that fit a dataset best.

    A dataset that brings its own small encoder (``clip_checkpoint``) is mined in float64, so that its options are
    the same on every processor.
    """
    from fgvr_bench.engines.open_clip import DEFAULT_CHECKPOINT

    own = getattr(dataset, "clip_checkpoint", None)
    return (DEFAULT_CHECKPOINT, "float32") if own is None else (str(own), "float64")
