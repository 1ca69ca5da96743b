"""The losses of stage I over hidden states: no model, no file, no global state.

Two readings of the paper (arXiv 2501.15140, section 3.3) exist; `finedefics.contrast` holds their formulae:

* ``released``: what the published code computes, its peculiarities included.
* ``paper``: what the paper's figure shows; descriptions of one category are never negatives of one another.

With weights w, the loss is w₀ generation + w₁ object-attribute + w₂ attribute-category + w₃ category-category, by
default 1, ½, ½, ½.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from finedefics.contrast import Embeddings, Terms, gathered, paper_terms, released_terms
from finedefics.gathering import all_sum

Reading = Literal["paper", "released"]

COOLEST, WARMEST = 0.001, 0.5
"""Bounds of a temperature."""

CHUNK = 4096
"""Positions whose logits are held at a time."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each term counts; a term of weight 0 is left out (ablations)."""

    generation: float = 1.0
    """Next-token loss."""
    object_attribute: float = 0.5
    """Images against descriptions."""
    attribute_category: float = 0.5
    """Descriptions against category names."""
    category_category: float = 0.5
    """Category names against one another."""

    @property
    def contrastive(self) -> bool:
        """Whether any term needs embeddings."""
        return bool(self.object_attribute or self.attribute_category or self.category_category)


class Temperatures(nn.Module):
    """The two temperatures, always initialised, trained like any parameter (float32, shape (1,): DeepSpeed takes no
    scalars).

    `clamp_` brings them into their bounds in place and without gradient; the gradient of a step is taken at the
    clamped value and reaches the parameter even where it was clamped, as in the published code.
    """

    def __init__(self, object_attribute: float = 0.07, attribute_category: float = 0.07) -> None:
        super().__init__()
        self.object_attribute = nn.Parameter(torch.tensor([object_attribute], dtype=torch.float32))
        """τ of images against descriptions, and of categories against one another (``ia_temp`` when published)."""
        self.attribute_category = nn.Parameter(torch.tensor([attribute_category], dtype=torch.float32))
        """τ of descriptions against categories (``ac_temp`` when published)."""

    @torch.no_grad()
    def clamp_(self) -> Temperatures:
        """Bring both into [0.001, 0.5], in place."""
        for parameter in self.parameters():
            parameter.clamp_(COOLEST, WARMEST)
        return self


@dataclass(frozen=True, slots=True)
class Losses:
    """What a step gives; scalars that carry gradients.  A term that was not computed is None."""

    total: Tensor
    """Weighted sum: what is trained on."""
    generation: Tensor | None
    """Mean next-token cross entropy."""
    object_attribute: Tensor | None = None
    """Images against descriptions, mean of both directions."""
    attribute_category: Tensor | None = None
    """Descriptions against categories, mean of both directions."""
    category_category: Tensor | None = None
    """Categories against one another."""
    directions: Mapping[str, Tensor] = field(default_factory=dict)
    """Both directions of the first two: ``image_to_attribute``, ``attribute_to_image``, ``attribute_to_category``,
    ``category_to_attribute``."""

    def detached(self) -> dict[str, Tensor]:
        """Return every computed term by name, without gradients, for logs."""
        named = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "directions"}
        return {name: value.detach() for name, value in {**named, **self.directions}.items() if value is not None}


def contrastive_terms(
    embeddings: Embeddings, temperatures: Temperatures, reading: Reading = "paper", *, gather: bool = False
) -> Terms:
    """Return the contrastive terms by name, at the temperatures as they stand (`Temperatures.clamp_` comes before).

    Args:
        embeddings: hidden states of this process.
        temperatures: both.
        reading: see the module.
        gather: whether all processes' embeddings are contrasted; ``paper`` only.

    Raises:
        ValueError: `gather` under ``released``, which never gathered.
    """
    given = (temperatures.object_attribute.reshape(()), temperatures.attribute_category.reshape(()))
    if reading == "released" and gather:
        raise ValueError("the reading 'released' contrasts what one process holds; gather is for 'paper'")
    # Similarities divided by a small temperature must not be rounded to 8 bits of mantissa.
    with torch.autocast(embeddings.image.device.type, enabled=False):
        if reading == "released":
            return released_terms(embeddings, *given)
        return paper_terms(gathered(embeddings) if gather else embeddings, *given)


def generation_loss(
    hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], *, gather: bool = False
) -> Tensor:
    """Return the mean next-token cross entropy, with logits of these positions only, in float32 or better.

    Args:
        hidden: shape (positions, H): decoder states that predict.
        targets: shape (positions,): the tokens that follow them.
        head: gives the logits of a token over the vocabulary.
        gather: whether the mean is over all processes' positions; the gradients are as in `gathered`.

    Returns:
        A scalar; 0 where there are no positions.
    """
    total = hidden.new_zeros((), dtype=torch.float64 if hidden.dtype == torch.float64 else torch.float32)
    for start in range(0, hidden.shape[0], CHUNK):
        part, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK]
        if hidden.shape[0] > CHUNK and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint

            total = total + checkpoint(_entropies, part, wanted, head, use_reentrant=False)
        else:
            total = total + _entropies(part, wanted, head)
    count = torch.tensor(float(hidden.shape[0]), device=hidden.device, dtype=total.dtype)
    if gather:
        total, count = all_sum(total), all_sum(count)
    return total / count.clamp_min(1.0)


def _entropies(hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    logits = head(hidden)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return functional.cross_entropy(wide, targets, reduction="sum")


def weighed(generation: Tensor | None, terms: Terms, weights: Weights) -> Losses:
    """Return the losses with their weighted sum; terms of weight 0 are left out."""
    kept = {
        name: terms[name]
        for name in ("object_attribute", "attribute_category", "category_category")
        if name in terms and getattr(weights, name)
    }
    parts = [getattr(weights, name) * value for name, value in kept.items()]
    if generation is not None and weights.generation:
        parts.append(weights.generation * generation)
    if not parts:
        raise ValueError("every term that this batch has is switched off")
    directions = {name: value for name, value in terms.items() if "_to_" in name}
    return Losses(total=torch.stack(parts).sum(), generation=generation, **kept, directions=directions)
