"""Processors, tokenizers and images as the two readings of collation want them."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.errors import DataInvalid

if TYPE_CHECKING:
    from PIL.Image import Image

    from finedefics.rows import TrainingRow


def as_stored(tokenizer: Any) -> Any:
    """Return a copy of the tokenizer that cuts words as the checkpoint's ``tokenizer.json`` says.

    transformers 5 rebuilds Llama's tokenizer and leaves out the space that the file puts before every text; then a
    text that begins with a space is cut otherwise than when the published models were trained.
    """
    from tokenizers import Tokenizer
    from transformers.utils import cached_file

    copied = copy.deepcopy(tokenizer)
    path = cached_file(
        tokenizer.name_or_path,
        "tokenizer.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is not None:
        stored = Tokenizer.from_file(path)
        copied.backend_tokenizer.normalizer = stored.normalizer
        copied.backend_tokenizer.pre_tokenizer = stored.pre_tokenizer
    return copied


def without_splitting(processor: Any) -> Any:
    """Return a copy of a processor that leaves images whole, as both stages of the paper have them."""
    copied = copy.deepcopy(processor)
    if getattr(copied.image_processor, "do_image_splitting", False):
        copied.image_processor.do_image_splitting = False
    return copied


def unrounded(image_processor: Any) -> Any:
    """Return an image processor of the same settings that resizes with pillow, as the published one did.

    The one on torchvision rounds otherwise: pixels differ by up to 1/128.
    """
    from transformers import Idefics2ImageProcessorPil

    if isinstance(image_processor, Idefics2ImageProcessorPil):
        return image_processor
    return Idefics2ImageProcessorPil.from_dict(image_processor.to_dict())


def upright(path: Path, row: TrainingRow) -> Image:
    """Return an image as the harness shows it.

    Raises:
        DataInvalid: it cannot be read; names the row.
    """
    try:
        return decode_image(_bytes(path, row))
    except ImageInvalid as error:
        raise DataInvalid(f"{row.where}: image {path}: {error}.") from error


def stored(path: Path, row: TrainingRow) -> Image:
    """Return an image as the published collator sees it: no EXIF rotation, transparency dropped.

    Raises:
        DataInvalid: it cannot be read; names the row.
    """
    from PIL import Image as PILImage

    data = _bytes(path, row)
    try:
        return PILImage.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError, PILImage.DecompressionBombError) as error:
        raise DataInvalid(f"{row.where}: image {path}: {error}.") from error


def _bytes(path: Path, row: TrainingRow) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataInvalid(f"{row.where}: image {path} cannot be read: {error.strerror or error}.") from error
