"""The engine for contrastive models: open_clip's architectures, weights, transforms and tokenizers.

A checkpoint is ``ARCHITECTURE/WEIGHTS`` (``ViT-L-14/laion2b_s32b_b82k``), a local folder in open_clip's layout
(``open_clip_config.json``, ``open_clip_model.safetensors`` and, where its text tower is a Hugging Face one,
the tokenizer's files), or ``hf-hub:organisation/name``.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.core.names import near
from fgvr_bench.core.paths import at_home
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.checkpoints import (
    file_digest,
    folder_digest,
    hub_commit,
    not_cached,
    reached_or_cached,
)
from fgvr_bench.engines.devices import check_device, resolve_device, resolve_dtype, torch_dtype
from fgvr_bench.engines.memory import first_line, is_out_of_memory, memory_guard
from fgvr_bench.engines.preprocessing import OnDevice, OnHost, Preprocessing
from fgvr_bench.engines.resizing import Framing
from fgvr_bench.engines.split_float import SPLIT_FLOAT, SplitWeights, split_products
from fgvr_bench.errors import ModelUnavailable, UsageError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

DEFAULT_CHECKPOINT = "ViT-L-14/laion2b_s32b_b82k"
CONFIG = "open_clip_config.json"
HUB = "hf-hub:"


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """A contrastive model with its weights on a device."""

    checkpoint: str
    digest: str
    """SHA-256 of the weights file, or over a local folder's files."""
    device: str
    dtype: str
    """Precision of weights and activations; `SPLIT_FLOAT` is float32 with split products."""
    preprocess: Callable[[Image], torch.Tensor]
    """Turns an RGB image into a float32 tensor of shape (3, height, width); fit for worker processes."""
    read: Callable[[Image], torch.Tensor]
    """The same but for the last step where that can be left to the device: then a uint8 tensor, a quarter of the
    bytes, which `encode_images` takes as well."""
    normalise: tuple[tuple[float, ...], tuple[float, ...]] | None
    """Mean and standard deviation of each channel, where `read` leaves them to the device."""
    preprocessing: Preprocessing
    """`read` for many images, the resizing done by a GPU where there is one."""
    logit_scale: float
    """What the model multiplies similarities by before a softmax."""
    model: Any
    tokenizer: Callable[[list[str]], torch.Tensor]
    split: SplitWeights | None = None
    """The weights as split products want them, where `dtype` is `SPLIT_FLOAT`."""

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length embeddings of a batch of preprocessed images.

        Args:
            images: shape (n, 3, height, width), on any device: what `preprocess` or `read` gives.

        Returns:
            Shape (n, dimensions), on the model's device; float32, or float64 where the model runs in it.

        Raises:
            OutOfMemory: the batch does not fit.
        """
        with memory_guard():
            pixels = self._pixels(images.to(self.device, non_blocking=True))
            if self.split is None:
                return self._unit(self.model.encode_image, pixels.to(torch_dtype(self.dtype)))
            with split_products(self.split):
                return self._unit(self.model.encode_image, pixels)

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Return unit-length embeddings of texts, encoded `batch_size` at a time.

        Returns:
            Shape (n, dimensions), on the model's device; float32, or float64 where the model runs in it.

        Raises:
            OutOfMemory: a batch does not fit.
        """
        import torch

        if not texts:
            raise ValueError("no text to encode")
        with memory_guard():
            parts = [
                self._unit(self.model.encode_text, self.tokenizer(list(texts[start : start + batch_size])))
                for start in range(0, len(texts), batch_size)
            ]
            return torch.cat(parts)

    def in_precision(self, dtype: str) -> LoadedClip:
        """Return the same model in another precision, from the weights that are here; float32 weights are shared.

        Raises:
            OutOfMemory: a second set of weights does not fit.
        """
        if dtype == SPLIT_FLOAT and self.dtype == "float32":
            return replace(self, dtype=dtype, split=SplitWeights())
        with memory_guard():
            other = copy.deepcopy(self.model).to(torch_dtype(dtype))
        return replace(self, dtype=dtype, model=other, split=None)

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Return what `preprocess` gives for what `read` gave: the same operations in float32, on the device."""
        import torch

        if self.normalise is None or images.dtype != torch.uint8:
            return images
        mean, deviation = (_on_device(each, images.device) for each in self.normalise)
        # Divided by a tensor: by a number, CUDA would multiply with its reciprocal, which differs in the last bit.
        return (images.float() / torch.full_like(mean, 255.0) - mean) / deviation

    def _unit(self, encode: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            features = encode(batch.to(self.device))
            features = features.to(torch.float64 if self.dtype == "float64" else torch.float32)
            unit: torch.Tensor = features / features.norm(dim=-1, keepdim=True)
            return unit


def clip_identity(checkpoint: str = DEFAULT_CHECKPOINT) -> dict[str, str]:
    """Return what tells one contrastive checkpoint from every other; without torch, and without the weights.

    Raises:
        UsageError: no such architecture, or not of the form ``ARCHITECTURE/WEIGHTS``.
        ModelUnavailable: a local folder that is no checkpoint; a hub name that cannot be had.
    """
    if (folder := _local_folder(checkpoint)) is not None:
        return {"checkpoint": "local", "sha256": folder_digest(folder)}
    if checkpoint.startswith(HUB):
        return {"checkpoint": checkpoint, "revision": hub_commit(checkpoint.removeprefix(HUB), None)}
    architecture, weights = _split(checkpoint)
    return {"checkpoint": f"{architecture}/{weights}"}


def load_open_clip(checkpoint: str = DEFAULT_CHECKPOINT, device: str = "auto", dtype: str = "float32") -> LoadedClip:
    """Load a contrastive model.

    Args:
        checkpoint: see the module's docstring.
        device: ``auto``, ``cpu``, ``mps``, ``cuda``, ``cuda:N``.
        dtype: precision of weights and activations; ``auto`` is float32, `SPLIT_FLOAT` float32 with products on
            half-precision matrix units (CUDA).

    Raises:
        UsageError: unknown architecture, weights, device or precision; the message offers the near names.
        ModelUnavailable: the files are not there, not whole, or cannot be downloaded.
        OutOfMemory: the model does not fit the device.
    """
    identity = clip_identity(checkpoint)
    resolved = resolve_device(device)
    split = dtype == SPLIT_FLOAT
    precision = resolve_dtype("float32" if split else dtype, resolved, automatic="float32")
    check_device(resolved)
    torchvision_ops.ensure()
    import open_clip

    name, weights, digest = _locate(checkpoint, identity)
    with memory_guard():
        try:
            with _undrawn():
                model, _, preprocess = open_clip.create_model_and_transforms(
                    name, pretrained=weights, device="cpu", force_quick_gelu=_wants_quick_gelu(name, weights)
                )
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # whatever open_clip and safetensors say of damaged or foreign files
            if is_out_of_memory(error):
                raise
            raise ModelUnavailable(
                f"{checkpoint} cannot be loaded by open_clip {open_clip.__version__}: {first_line(error)}.",
                hint="Fetch the checkpoint again, or give --checkpoint FOLDER.",
            ) from error
        model = model.eval().requires_grad_(False).to(device=resolved, dtype=torch_dtype(precision))
    read, normalise, framing = _bytes_first(preprocess)
    return LoadedClip(
        checkpoint=checkpoint,
        digest=digest,
        device=resolved,
        dtype=SPLIT_FLOAT if split else precision,
        preprocess=preprocess,
        read=read,
        normalise=normalise,
        preprocessing=OnDevice(read, framing, resolved) if resolved.startswith("cuda") else OnHost(read),
        logit_scale=float(model.logit_scale.exp()),
        model=model,
        tokenizer=tokenizer,
        split=SplitWeights() if split else None,
    )


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Leave out the drawing of random weights, which are all overwritten: seconds for a large model."""
    import torch
    from torch.overrides import TorchFunctionMode

    drawing = {torch.Tensor.normal_, torch.Tensor.uniform_} | {
        getattr(torch.nn.init, name)
        for name in ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_")
    }

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if func in drawing:
                return args[0] if args else named["tensor"]
            return func(*args, **named)

    with Mode():
        yield


@lru_cache
def _on_device(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return a number a channel, shape (3, 1, 1): once a device, for it would wait for all that it has to do."""
    import torch

    return torch.tensor(values, device=device).view(-1, 1, 1)


class ToBytes:
    """Turns an RGB image into a uint8 tensor of shape (3, height, width)."""

    def __call__(self, image: Image) -> torch.Tensor:
        """Return the pixels, not scaled."""
        import numpy as np
        import torch

        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _bytes_first(
    transform: Any,
) -> tuple[Any, tuple[tuple[float, ...], tuple[float, ...]] | None, Framing | None]:
    """Split open_clip's transform: the part for worker processes, and the normalising that a device can do.

    The third is what the first does to the frame, where a device could do that too.
    """
    from torchvision.transforms import Compose, Normalize

    steps = list(getattr(transform, "transforms", ()))
    ends_as_usual = len(steps) >= 2 and type(steps[-2]).__name__ in {"MaybeToTensor", "ToTensor"}
    if not ends_as_usual or not isinstance(steps[-1], Normalize):
        return transform, None, None
    last = steps[-1]
    normalise = (tuple(map(float, last.mean)), tuple(map(float, last.std)))
    return Compose([*steps[:-2], ToBytes()]), normalise, Framing.of(steps[:-2])


def _locate(checkpoint: str, identity: dict[str, str]) -> tuple[str, str | None, str]:
    """Return open_clip's name, its weights tag and the digest of the weights, downloading them if need be."""
    import open_clip
    from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, get_pretrained_cfg

    if (folder := _local_folder(checkpoint)) is not None:
        return f"local-dir:{folder}", None, identity["sha256"]
    try:
        if checkpoint.startswith(HUB):
            with reached_or_cached(checkpoint.removeprefix(HUB)):
                path = download_pretrained_from_hf(checkpoint.removeprefix(HUB))
            return checkpoint, None, file_digest(Path(path))
        name, weights = _split(checkpoint)
        known = open_clip.list_pretrained_tags_by_model(name)
        if not open_clip.pretrained.is_pretrained_cfg(name, weights):
            offered = near(weights, known) or known
            raise UsageError(f"{name} has no weights {weights!r} in open_clip. It has: {', '.join(offered)}.")
        settings = get_pretrained_cfg(name, weights)
        repository = str(settings.get("hf_hub", "")).rpartition("/")[0]
        with reached_or_cached(repository) if repository else contextlib.nullcontext():
            return name, weights, file_digest(Path(download_pretrained(settings)))
    except OSError as error:
        repository = checkpoint.removeprefix(HUB)
        if not checkpoint.startswith(HUB):
            repository = str(get_pretrained_cfg(*_split(checkpoint)).get("hf_hub", "")).rpartition("/")[0]
        if not repository:
            raise ModelUnavailable(
                f"{checkpoint} is not in the cache and cannot be downloaded: {first_line(error)}.",
                hint="Try again with a network, or give --checkpoint FOLDER.",
            ) from error
        raise not_cached(repository) from error


def _wants_quick_gelu(name: str, weights: str | None) -> bool:
    """Say whether weights were trained with the faster activation; open_clip itself would only warn."""
    from open_clip.pretrained import get_pretrained_cfg

    return weights is not None and bool(get_pretrained_cfg(name, weights).get("quick_gelu"))


def _local_folder(checkpoint: str) -> Path | None:
    """Return the folder that `checkpoint` names, checked for completeness, or None if it names none."""
    folder = at_home(checkpoint)
    if not folder.is_dir():
        if checkpoint.startswith((".", "~", "/")) or folder.is_absolute():
            raise ModelUnavailable(f"there is no checkpoint folder {checkpoint}.", hint="Check the path.")
        return None
    layout = f"A folder for open_clip holds {CONFIG} and open_clip_model.safetensors."
    try:
        config = parse_json((folder / CONFIG).read_bytes())
        text = config["model_cfg"]["text_cfg"]
    except FileNotFoundError as error:
        raise ModelUnavailable(f"{folder} has no {CONFIG}.", hint=layout) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{folder / CONFIG} is no open_clip configuration: {first_line(error)}.") from error
    if not [path for pattern in ("*.safetensors", "*.bin", "*.pth") for path in folder.glob(pattern)]:
        raise ModelUnavailable(f"{folder} has no weights.", hint=layout)
    if text.get("hf_tokenizer_name") and not list(folder.glob("tokenizer*")):
        raise ModelUnavailable(
            f"{folder} has no tokenizer files, and its text tower needs those of {text['hf_tokenizer_name']}.",
            hint="Put tokenizer.json and tokenizer_config.json beside the weights.",
        )
    return folder


def _split(checkpoint: str) -> tuple[str, str]:
    """Split ``ARCHITECTURE/WEIGHTS`` and check the architecture."""
    name, slash, weights = checkpoint.partition("/")
    known = _architectures()
    if known and name not in known and "/" not in name:
        raise UsageError(
            f"open_clip has no architecture {name!r}. Near names: {', '.join(near(name, known)) or 'none'}.",
            hint='See all: python -c "import open_clip; print(open_clip.list_pretrained())"',
        )
    if not slash or not weights:
        raise UsageError(f"{checkpoint!r} names no weights.", hint=f"Write ARCHITECTURE/WEIGHTS: {DEFAULT_CHECKPOINT}")
    return name, weights


def _architectures() -> list[str]:
    """Return the names of open_clip's architectures, read off its files without importing it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModelUnavailable("open_clip is not installed.", hint="Type: pip install open_clip_torch")
    return sorted(path.stem for path in (Path(spec.origin).parent / "model_configs").glob("*.json"))
