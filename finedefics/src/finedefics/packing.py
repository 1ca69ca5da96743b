"""Many sequences in one row: what is packed, and attention that keeps them apart.

Blocks of padded sequences are cut to their kept tokens and laid end to end, so that the decoder runs once over one
long row: every matrix product is as large as the step allows.  On a GPU in half precision attention runs on torch's
own variable-length flash kernel, which takes the sequences' ends; elsewhere a dense mask says the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ATTENTION = "finedefics_packed"
"""Name of the variable-length attention among transformers' attention functions."""


@dataclass(frozen=True, slots=True)
class Block:
    """Sequences of one kind, padded to one length."""

    embedded: Tensor
    """Shape (n, L, H)."""
    kept: Tensor
    """Shape (n, L), bool: tokens that are packed."""
    positions: Tensor
    """Shape (n, L), integers."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One row of T tokens, and how to find them in it."""

    embedded: Tensor
    """Shape (1, T, H)."""
    positions: Tensor
    """Shape (1, T)."""
    sequence: Tensor
    """Shape (T,): number of the sequence that each token belongs to."""
    ends: Tensor
    """Shape (sequences + 1,), int32: where sequences begin and end."""
    longest: int
    """No sequence is longer."""
    places: tuple[Tensor, ...]
    """For each block, shape (n, L): where each kept token lies in the row."""

    def mask(self, window: int | None = None) -> Tensor:
        """Return what is added to attention scores, (1, 1, T, T): 0 or the smallest number.

        Args:
            window: how many tokens back a token sees, itself included; None for all.
        """
        same = self.sequence[:, None] == self.sequence[None, :]
        behind = torch.ones_like(same).tril()
        if window is not None:
            behind = behind.triu(1 - window)
        added = torch.full(
            same.shape, torch.finfo(self.embedded.dtype).min, dtype=self.embedded.dtype, device=same.device
        )
        return added.masked_fill(same & behind, 0.0)[None, None]


def pack(blocks: Sequence[Block]) -> Packed:
    """Lay the kept tokens of all blocks end to end, sequence by sequence."""
    width = blocks[0].embedded.shape[-1]
    kept = torch.cat([block.kept.flatten() for block in blocks])
    index = kept.nonzero()[:, 0]
    counts = torch.cat([block.kept.sum(dim=1) for block in blocks])
    ends = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(torch.int32)
    numbers = torch.arange(len(counts), device=index.device)
    places = torch.split(kept.cumsum(0) - 1, [block.kept.numel() for block in blocks])
    return Packed(
        embedded=torch.cat([block.embedded.reshape(-1, width) for block in blocks])[index][None],
        positions=torch.cat([block.positions.flatten() for block in blocks])[index][None],
        sequence=numbers.repeat_interleave(counts, output_size=len(index)),
        ends=ends,
        longest=max(block.kept.shape[1] for block in blocks),
        places=tuple(place.view(block.kept.shape) for place, block in zip(places, blocks, strict=True)),
    )


def decode(decoder: Any, packed: Packed, *, dense: bool | None = None) -> Tensor:
    """Run a decoder once over the packed row.

    Args:
        decoder: transformers' language model without head.
        packed: the row.
        dense: whether attention takes a mask of T × T instead of the sequences' ends; by default on processors and in
            more than 16 bits.

    Returns:
        States after the last norm, shape (T, H).
    """
    if dense is None:
        dense = half_precision(packed.embedded) is None
    given: dict[str, Any] = {"inputs_embeds": packed.embedded, "position_ids": packed.positions, "use_cache": False}
    if dense:
        mask = packed.mask(getattr(decoder.config, "sliding_window", None))
        states: Tensor = decoder(attention_mask=mask, **given).last_hidden_state
        return states[0]
    with attending(decoder):
        states = decoder(
            attention_mask=None,
            cu_seq_lens_q=packed.ends,
            cu_seq_lens_k=packed.ends,
            max_length_q=packed.longest,
            max_length_k=packed.longest,
            **given,
        ).last_hidden_state
    return states[0]


def half_precision(states: Tensor) -> torch.dtype | None:
    """Return the 16-bit type that a GPU computes these states in, autocast included; None where it is another."""
    if not states.is_cuda:
        return None
    halves = {torch.bfloat16, torch.float16}
    used = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else states.dtype
    return used if used in halves else None


@contextlib.contextmanager
def attending(decoder: Any, how: str = ATTENTION) -> Iterator[None]:
    """Let a decoder's layers attend by `packed_attention`, or ``eager``, while the block lasts."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, packed_attention)
    before = decoder.config._attn_implementation
    decoder.config._attn_implementation = how
    try:
        yield
    finally:
        decoder.config._attn_implementation = before


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each packed sequence; an attention function of transformers.

    Args:
        module: the layer.
        query: shape (1, heads, T, size).
        key: shape (1, key heads, T, size).
        value: like `key`.
        attention_mask: none is taken.
        scaling: factor of the scores.
        dropout: share of weights dropped.
        sliding_window: how many tokens back a token sees, itself included; None for all.
        kwargs: ``cu_seq_lens_q`` (sequences + 1,), int32, and ``max_length_q``.

    Returns:
        Shape (1, T, heads, size), and no weights.
    """
    ends, longest = kwargs["cu_seq_lens_q"], kwargs["max_length_q"]
    # Under autocast the rotation leaves queries and keys in 32 bits, which the kernel does not take.
    half = half_precision(query) or value.dtype
    flat = [states[0].transpose(0, 1).to(half) for states in (query, key, value)]
    # torch's operator below its public function for variable lengths, whose arguments changed from version to version.
    attended = torch.ops.aten._flash_attention_forward(
        *flat,
        ends,
        ends,
        longest,
        longest,
        dropout,
        True,
        False,
        scale=scaling,
        window_size_left=None if sliding_window is None else sliding_window - 1,
        window_size_right=None if sliding_window is None else 0,
    )[0]
    return attended[None], None
