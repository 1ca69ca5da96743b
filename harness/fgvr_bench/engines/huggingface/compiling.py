"""Compiled blocks: the repeated layers of a model, each kind compiled once for all its layers and all shapes.

Compiled as a whole, a model takes minutes and is compiled again for every shape.  Its blocks (the layers of a vision
tower, a resampler, a decoder) are where the time goes, and all layers of one kind share one compiled form with free
batch size and length.  What stands between them stays as transformers has it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

RECOMPILES = 64
"""Forms of one block that torch may compile (with a mask and without, one row, one token) before it gives up."""


class OneLayer:
    """The part of a cache that belongs to one layer.

    A layer asks its cache by its own number, and a number is a constant to the compiler: each layer would be compiled
    on its own.  So layers have no number of their own while they are compiled; this knows it for them.
    """

    def __init__(self, cache: Any, number: int) -> None:
        self._cache, self._number = cache, number

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # caches grow in place: nothing for a compiler
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int = 0, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values; return all there are.  Shapes (batch, heads, tokens, head size)."""
        every: tuple[torch.Tensor, torch.Tensor] = self._cache.update(
            key_states, value_states, self._number, *args, **kwargs
        )
        return every

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def compile_blocks(model: nn.Module, backend: str = "inductor") -> int:
    """Compile the repeated blocks of a model, and feed-forward parts that stand alone, in place.

    Args:
        model: in evaluation mode, on its device.
        backend: of ``torch.compile``; ``eager`` only traces.

    Returns:
        How many parts are compiled (each when it first runs).
    """
    count = 0
    for block in repeated_blocks(model):
        _compile(block, backend)
        count += 1
    for part in lone_feed_forwards(model):
        part.compile(dynamic=True, backend=backend)
        count += 1
    return count


def repeated_blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of every list of like modules that hold linear layers; not those inside another block."""
    if isinstance(model, nn.ModuleList) and _are_blocks(model):
        yield from model
        return
    for child in model.children():
        yield from repeated_blocks(child)


def lone_feed_forwards(model: nn.Module) -> Iterator[nn.Module]:
    """Yield modules outside of blocks that consist of two or more linear layers and activations."""
    if isinstance(model, nn.ModuleList) and _are_blocks(model):
        return
    children = list(model.children())
    linear = sum(isinstance(child, nn.Linear) for child in children)
    if linear >= 2 and all(not list(child.children()) for child in children):
        yield model
        return
    for child in children:
        yield from lone_feed_forwards(child)


def _are_blocks(modules: nn.ModuleList) -> bool:
    kinds = {type(module) for module in modules}
    return len(modules) > 1 and len(kinds) == 1 and any(isinstance(each, nn.Linear) for each in modules[0].modules())


def _compile(block: nn.Module, backend: str) -> None:
    numbered = [module for module in block.modules() if isinstance(getattr(module, "layer_idx", None), int)]
    if not all(_numbers_caches_only(module) for module in numbered):
        return  # its number means more than a place in the cache: left as it is
    number = next((int(module.layer_idx) for module in numbered), None)  # type: ignore[arg-type]
    compiled = torch.compile(block.forward, dynamic=True, backend=backend)
    if number is None:
        block.forward = compiled
        return
    for module in numbered:
        module.layer_idx = 0  # type: ignore[assignment]

    def forward(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("past_key_values") is not None:
            kwargs["past_key_values"] = OneLayer(kwargs["past_key_values"], number)
        return compiled(*args, **kwargs)

    block.forward = forward


def _numbers_caches_only(module: nn.Module) -> bool:
    """Say whether a module's code uses its number for nothing but its place in a cache."""
    code = inspect.getsource(type(module).forward)
    return "layer_idx" not in re.sub(r"\.update\([^()]*layer_idx[^()]*\)", "", code)


def settle_compiler() -> None:
    """Let kernels be chosen by rule, never by timing them, so that each run computes with the same ones.

    The compiler's settings belong to a thread: to be called in the one that runs the model.
    """
    import torch._dynamo.config as tracing
    import torch._inductor.config as kernels

    tracing.recompile_limit = RECOMPILES
    tracing.accumulated_recompile_limit = 64 * RECOMPILES
    if hasattr(kernels, "deterministic"):
        kernels.deterministic = True
