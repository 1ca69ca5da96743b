"""Position ids of Idefics2's vision patches, from a table instead of the installed transformers version.

An image of n × m patches lies on the vision tower's grid of 70 × 70 positions: patch row i takes the bucket that
i / n falls into.  Versions of transformers have computed these buckets with different rounding (4.57 differs from
the version that trained Finedefics at 43 of the 70 sizes, 5.17 in bfloat16 at 35, 5.23 at two), and weights should
be run with the positions that they were trained with.  Those are in ``idefics2_positions.json``; for other grids
(tiny test models) they are floor(i · side / n), which that version computes there.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import torch
from torch import nn


def bucket_table(side: int) -> torch.Tensor:
    """Return the buckets of every image size.

    Args:
        side: positions along one side of the grid; 70 for Idefics2.

    Returns:
        Shape (side + 1, side), integers: row n holds the buckets of patches 0 to n - 1, then zeros.
    """
    table = torch.zeros(side + 1, side, dtype=torch.long)
    kept = json.loads(files("fgvr_models").joinpath("idefics2_positions.json").read_text())
    for size in range(1, side + 1):
        exact = [patch * side // size for patch in range(size)]
        table[size, :size] = torch.tensor(kept["buckets"][size - 1] if side == kept["side"] else exact)
    return table


class TablePositions(nn.Module):
    """Idefics2's patch embeddings with position ids looked up in `bucket_table`; takes over the given weights."""

    table: torch.Tensor

    def __init__(self, embeddings: Any) -> None:
        super().__init__()
        self.patch_size: int = embeddings.patch_size
        self.side: int = embeddings.num_patches_per_side
        self.patch_embedding = embeddings.patch_embedding
        self.position_embedding = embeddings.position_embedding
        device = self.position_embedding.weight.device
        self.register_buffer("table", bucket_table(self.side).to(device), persistent=False)

    def forward(self, pixel_values: torch.Tensor, patch_attention_mask: torch.Tensor) -> torch.Tensor:
        """Return patch embeddings with their positions added.

        Args:
            pixel_values: shape (images, 3, height, width).
            patch_attention_mask: shape (images, patch rows, patch columns), true where there is picture.

        Returns:
            Shape (images, patches, hidden size).
        """
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        embedded: torch.Tensor = patches + self.position_embedding(self.position_ids(patch_attention_mask))
        return embedded

    def position_ids(self, patch_attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the position of each patch, row by row; 0 where there is no picture.

        Args:
            patch_attention_mask: shape (images, patch rows, patch columns).

        Returns:
            Shape (images, patch rows × patch columns), integers.
        """
        mask = patch_attention_mask.bool()
        rows = self.table[mask[:, :, 0].sum(dim=1)][:, : mask.shape[1]]
        columns = self.table[mask[:, 0, :].sum(dim=1)][:, : mask.shape[2]]
        positions = rows[:, :, None] * self.side + columns[:, None, :]
        return (positions * mask).flatten(1)


def use_table(model: Any) -> None:
    """Give a loaded Idefics2 (or a model made from one) the positions of the table; in place."""
    found = [module for module in model.modules() if type(module).__name__ == "Idefics2VisionTransformer"]
    if not found:
        raise ValueError(f"{type(model).__name__} has no Idefics2 vision tower")
    for tower in found:
        tower.embeddings = TablePositions(tower.embeddings)
