"""Finedefics: two-stage training for fine-grained recognition (ICLR 2025), as a plugin of fgvr-bench.

::

    import finedefics

    aligned = finedefics.align("pretrain.csv", "HuggingFaceM4/idefics2-8b", output="runs/align")
    finedefics.merge("runs/align", "runs/aligned")
    finedefics.train("pretrain.csv", "finetune.csv", "HuggingFaceM4/idefics2-8b", "runs/mine")

Importing this package imports nothing heavy; its functions are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "Conduct": "launching",
    "Examination": "whole",
    "Recipe": "presets",
    "RowCache": "joining",
    "Trained": "stages",
    "TrainingRow": "rows",
    "align": "stages",
    "merge": "merging",
    "load_released": "released",
    "preset": "presets",
    "read_rows": "rows",
    "released_batch": "released",
    "released_losses": "released",
    "train": "whole",
    "tune": "stages",
}
"""Module of each public name."""

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'finedefics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"finedefics.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
