"""Compiling a model layer by layer, so that thousands of small kernels become a few large ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from fgvr_bench.engines.huggingface.compiling import repeated_blocks
from finedefics.families import unwrapped

PROJECTIONS = ("modality_projection", "multi_modal_projector")
"""Parts between the towers that are compiled too."""


def compile_layers(model: nn.Module, **settings: Any) -> int:
    """Compile every layer of the towers in place, and the projection between them; return how many.

    Layers of a tower share one compiled program, so this takes about a minute, not one a layer.  Lengths are dynamic
    unless `settings` say otherwise: steps differ in their number of tokens.

    Args:
        model: a model of a known family; adapters are compiled along, so add them first.
        settings: for ``torch.compile``.
    """
    count = 0
    for module in _layers(unwrapped(model)):
        module.compile(**{"dynamic": True, **settings})
        count += 1
    return count


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of every tower, and the projection between them."""
    yield from repeated_blocks(model)
    yield from (module for name, module in model.named_modules() if name.endswith(PROJECTIONS))
