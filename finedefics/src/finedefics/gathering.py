"""Tensors of all processes, with gradients, for losses over the joined batch.

Every process computes the same loss L of what all hold.  Backward through `all_rows` and `all_sum` adds the gradients
that the W processes have for a value up, which is W times the gradient of L; data-parallel training then averages
over processes (a division by W), which gives the gradient that one process with the joined batch has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _AllRows(torch.autograd.Function):
    """Concatenate what processes hold along the first dimension, whose length may differ between them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, lengths: list[int]) -> Tensor:
        longest = max(lengths)
        mine = rows.new_zeros(longest, *rows.shape[1:])
        mine[: rows.shape[0]] = rows
        everyone = [torch.empty_like(mine) for _ in lengths]
        dist.all_gather(everyone, mine)
        start = sum(lengths[: dist.get_rank()])
        ctx.mine = slice(start, start + rows.shape[0])
        return torch.cat([each[:length] for each, length in zip(everyone, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[ctx.mine], None


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed


def lengths_of(count: int, device: torch.device) -> list[int]:
    """Return how many each process holds, in the order of their ranks."""
    mine = torch.tensor([count], device=device)
    everyone = [torch.empty_like(mine) for _ in range(processes())]
    dist.all_gather(everyone, mine)
    return [int(each) for each in everyone]


def offset(count: int, device: torch.device) -> int:
    """Return how many the processes of lower rank hold together."""
    return sum(lengths_of(count, device)[: dist.get_rank()]) if processes() > 1 else 0


def all_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of their ranks: (n, ...) to (Σ n, ...)."""
    if processes() == 1:
        return rows
    gathered: Tensor = _AllRows.apply(rows, lengths_of(rows.shape[0], rows.device))  # type: ignore[no-untyped-call]
    return gathered


def all_sum(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; shapes must agree."""
    if processes() == 1:
        return value
    summed: Tensor = _AllSum.apply(value)  # type: ignore[no-untyped-call]
    return summed
