"""Float32 products from half-precision matrix units: each factor is split into two float16 numbers.

x = h + l with h = float16(x) and l = float16(x - h) keeps 22 of float32's 24 bits, and x w = h h' + l h' + h l' to
that precision, summed in float32 (Markidis et al., "NVIDIA Tensor Core Programmability, Performance & Precision",
2018, section V).  Three products in half precision are several times faster than one in float32.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SPLIT_FLOAT = "float16x3"
"""What this precision is called where precisions are named."""

LARGEST = 1024.0
"""Weights are scaled by a power of two so that their largest lies just below: small ones keep their bits then."""


@contextlib.contextmanager
def split_products(weights: SplitWeights, device: str = "cuda") -> Iterator[None]:
    """Compute every linear layer with float32 input on a kind of device by split products while the block runs."""
    import torch
    from torch.overrides import TorchFunctionMode

    functional = torch.nn.functional
    splits: dict[Any, Any] = {
        functional.linear: split_linear,
        functional.multi_head_attention_forward: split_attention,  # hides its linear layers
    }

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            fits = func in splits and args[0].device.type == device and args[0].dtype == torch.float32
            split = splits[func](weights, *args, **(kwargs or {})) if fits else None
            return func(*args, **(kwargs or {})) if split is None else split

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

    def __len__(self) -> int:
        return len(self._known)

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


def split_attention(
    weights: SplitWeights,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *args: Any,
    **kwargs: Any,
) -> tuple[torch.Tensor, None] | None:
    """Return what ``torch.nn.functional.multi_head_attention_forward`` does of a layer without masks, else None.

    Args:
        weights: split weights.
        query: shape (tokens, batch, width); `key` and `value` are the same tensor.
        key: see `query`.
        value: see `query`.
        args: as that function takes them.
        kwargs: likewise.
    """
    import torch

    functional = torch.nn.functional
    known = inspect.signature(functional.multi_head_attention_forward).bind(query, key, value, *args, **kwargs)
    known.apply_defaults()
    given = known.arguments
    masks = ("key_padding_mask", "attn_mask", "bias_k", "bias_v", "static_k", "static_v", "add_zero_attn")
    plain = not any(given[name] is not None and given[name] is not False for name in masks)
    if not plain or given["need_weights"] or given["training"] or key is not query or value is not query:
        return None
    tokens, batch, width = query.shape
    heads = given["num_heads"]
    packed = split_linear(weights, query, given["in_proj_weight"], given["in_proj_bias"])
    parts = packed.view(tokens, batch, 3, heads, width // heads).permute(2, 1, 3, 0, 4)
    mixed = functional.scaled_dot_product_attention(*parts).permute(2, 0, 1, 3).reshape(tokens, batch, width)
    return split_linear(weights, mixed, given["out_proj_weight"], given["out_proj_bias"]), None


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
