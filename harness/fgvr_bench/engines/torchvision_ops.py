"""Lets torchvision's Python parts be imported where its compiled part cannot be loaded.

A torch built for the CPU beside the torchvision of the package index (built for CUDA) leaves torchvision
without its operators, and ``import torchvision`` stops at the first that it wants to describe: "operator
torchvision::nms does not exist".  Image processors and open_clip need none of these operators, only the
transforms; declaring the two that are described during the import is enough.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_library: Any = None
"""Kept for the life of the process: a library that is collected takes its operators along."""


def ensure() -> None:
    """Make ``import torchvision`` possible; to be called before open_clip or an image processor is imported.

    Does nothing where torchvision is absent, already imported, or whole.
    """
    global _library
    if _library is not None or "torchvision" in sys.modules:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _extension_loads(Path(spec.origin).parent):
        return
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in SCHEMAS:
        library.define(schema)
    _library = library


@dataclass(frozen=True, slots=True)
class Carried:
    """Carries an object that is built on torchvision to another process, where `ensure` runs before it is read."""

    value: Any

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return _unpack, (pickle.dumps(self.value),)


def _unpack(data: bytes) -> Carried:
    ensure()
    return Carried(pickle.loads(data))  # noqa: S301 - what another process of this run packed


def _extension_loads(folder: Path) -> bool:
    """Load the compiled operators as torchvision itself will; say whether that went well."""
    import torch

    for file in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
        except (ImportError, OSError):
            continue
        return True
    return False
