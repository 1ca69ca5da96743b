"""The four groups of texts of a batch: descriptions, names, and their negatives; where each of them ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fgvr_bench.errors import DataInvalid
from finedefics.objective import Reading

GROUPS = ("att", "cat", "neg_att", "neg_cat")
"""What a batch calls them: ``att_tokens`` and so on."""


@dataclass(frozen=True, slots=True)
class Texts:
    """One group of texts, and where each ends."""

    ids: Tensor
    """Shape (n, L)."""
    mask: Tensor | None
    """Shape (n, L); None where padding is attended to (``released``)."""
    rows: Tensor
    """Shape (m,): row that each embedding is read from."""
    columns: Tensor
    """Shape (m,): place of its end-of-text token."""


def end_positions(ids: Tensor, end_of_text: int, reading: Reading = "paper") -> tuple[Tensor, Tensor]:
    """Return rows and columns of the states that are the texts' embeddings.

    ``paper``: the last end-of-text of each row.  ``released``: as the published code finds them, which looks for
    end-of-text over the whole batch and pairs what it finds with the rows; one row with two and another with none
    give columns in the wrong rows, one in all serves every row, and one row may have several.

    Args:
        ids: shape (n, L).
        end_of_text: the token's id.
        reading: see `finedefics.objective`.

    Raises:
        DataInvalid: ``paper``: a row has none; ``released``: their number can be paired with no rows.
    """
    found = ids == end_of_text
    if reading == "paper":
        lacking = (~found.any(dim=1)).nonzero()[:, 0].tolist()
        if lacking:
            raise DataInvalid(f"texts {lacking} of the batch do not end with end-of-text (token {end_of_text}).")
        numbers = torch.arange(ids.shape[1], device=ids.device)
        rows = torch.arange(ids.shape[0], device=ids.device)
        return rows, torch.where(found, numbers, -1).amax(dim=1)
    columns = found.nonzero()[:, 1]
    rows = torch.arange(ids.shape[0], device=ids.device)
    if len(columns) != len(rows) and 1 not in (len(columns), len(rows)):
        raise DataInvalid(
            f"{len(columns)} end-of-text tokens in {len(rows)} texts; the published code needs one in each."
        )
    many = max(len(rows), len(columns))
    return rows.expand(many), columns.expand(many)


def text_groups(batch: Mapping[str, Any], reading: Reading, end_of_text: int) -> dict[str, Texts]:
    """Return a batch's groups of texts by name; none where descriptions or categories are missing.

    Raises:
        DataInvalid: see `end_positions`.
    """
    if batch.get("att_tokens") is None or batch.get("cat_tokens") is None:
        return {}
    groups = {}
    for name in GROUPS:
        ids = batch.get(f"{name}_tokens")
        if ids is None:
            continue
        rows, columns = end_positions(ids, end_of_text, reading)
        groups[name] = Texts(ids, batch[f"{name}_mask"] if reading == "paper" else None, rows, columns)
    return groups
