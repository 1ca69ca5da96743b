"""Float32 products from half-precision matrix units: each factor is split into two float16 numbers.

x = h + l with h = float16(x) and l = float16(x - h) keeps 22 of float32's 24 bits, and x w = h h' + l h' + h l' to
that precision, summed in float32 (Markidis et al., "NVIDIA Tensor Core Programmability, Performance & Precision",
2018, section V).  Three products in half precision are several times faster than one in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SPLIT_FLOAT = "float16x3"
"""What this precision is called where precisions are named."""

LARGEST = 1024.0
"""Weights are scaled by a power of two so that their largest lies just below: small ones keep their bits then."""


@contextlib.contextmanager
def split_products(weights: SplitWeights) -> Iterator[None]:
    """Compute every linear layer with float32 input on a CUDA device by split products while the block runs."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.nn.functional.linear and args[0].is_cuda and args[0].dtype == torch.float32:
                return split_linear(weights, *args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole attention layer hides its products
    try:
        with Mode():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


class SplitWeights:
    """The split weights of a model, made when a layer first runs."""

    def __init__(self) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self._known = WeakTensorKeyDictionary()

    def of(self, weight: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return (h, h, l) side by side, shape (out, 3 × in), float16, and what a product has to be scaled by."""
        import torch

        if weight not in self._known:
            largest = float(weight.abs().max()) or 1.0
            scale = 2.0 ** float(torch.tensor(LARGEST / largest).log2().floor())
            high, low = _split(weight * scale)
            self._known[weight] = torch.cat([high, high, low], dim=1), 1.0 / scale
        found: tuple[torch.Tensor, float] = self._known[weight]
        return found


def split_linear(
    weights: SplitWeights, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return ``values @ weight.T + bias`` like ``torch.nn.functional.linear``; all float32.

    An input beyond float16's range (65,504) gives infinities or NaN, which callers have to look for.
    """
    import torch

    wide, scale = weights.of(weight)
    rows = values.reshape(-1, values.shape[-1])
    half = widen(rows)
    product = torch.mm(half, wide.T, out_dtype=torch.float32) if values.is_cuda else half.float() @ wide.float().T
    product.mul_(scale)
    if bias is not None:
        product.add_(bias)
    return product.view(*values.shape[:-1], weight.shape[0])


def widen(rows: torch.Tensor) -> torch.Tensor:
    """Return (h, l, h) side by side, shape (n, 3 × in), float16: what goes with `SplitWeights.of`."""
    import torch

    wide = torch.empty(len(rows), 3, rows.shape[1], dtype=torch.float16, device=rows.device)
    wide[:, 0] = rows
    torch.sub(rows, wide[:, 0], out=wide[:, 1])  # in float32, rounded as it is written
    wide[:, 2] = wide[:, 0]
    return wide.flatten(1)


def _split(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high = values.half()
    return high, (values - high.float()).half()
