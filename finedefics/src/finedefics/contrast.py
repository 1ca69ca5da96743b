"""The contrastive terms of stage I in both readings, over hidden states.

Notation.  B rows, I images, P negative descriptions, Q negative categories, H hidden size; n(x) = x / max(|x|₂, 1e-12)
by row.  z (I × H) is the images', A (B × H) the descriptions', A⁻ (P × H) the negative descriptions', C (B × H) the
categories' and C⁻ (Q × H) the negative categories' normalised embedding: the decoder's last hidden state at the
end-of-text token.  A⁺ = [A; A⁻], C⁺ = [C; C⁻].  Similarities are divided by a temperature τ.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from finedefics.gathering import all_rows, offset


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Hidden states at the end-of-text token, not normalised, and which category each belongs to."""

    image: Tensor
    """Shape (I, H)."""
    attribute: Tensor
    """Shape (B, H)."""
    category: Tensor
    """Shape (B, H); under ``released`` it may have other numbers of rows than `attribute`."""
    neg_attribute: Tensor | None = None
    """Shape (P, H), or None without negatives."""
    neg_category: Tensor | None = None
    """Shape (Q, H), or None."""
    category_ids: Tensor | None = None
    """Shape (B,), integers: equal where categories are; ``paper`` only.  Without them all rows differ."""
    neg_attribute_ids: Tensor | None = None
    """Shape (P,): category that a negative description is of, negative where unknown."""
    neg_category_ids: Tensor | None = None
    """Shape (Q,): category that a negative name is of."""
    image_rows: Tensor | None = None
    """Shape (I,): row that an image belongs to; without it one image a row, in order."""
    pairs: Tensor | None = None
    """Shape (P,): negative category that a negative description is of, -1 for none; by default the i-th of the i-th
    where there are as many of both, else none."""


Terms = dict[str, Tensor]
"""Contrastive terms and their directions by name, as in `Losses`."""


def normalised(hidden: Tensor) -> Tensor:
    """Return n(x) by row, in float32 or better: (rows, H) to (rows, H)."""
    wide = hidden if hidden.dtype == torch.float64 else hidden.float()
    return functional.normalize(wide, dim=-1, eps=1e-12)


def diagonal_cross_entropy(logits: Tensor) -> Tensor:
    """Return -(1/rows) Σ_k log softmax(logits over columns)[k, k], over the main diagonal of a rectangle.

    A row that has no column on the diagonal counts as 0 in the mean.

    Args:
        logits: shape (rows, columns).
    """
    return -functional.log_softmax(logits, dim=1).diagonal().sum() / logits.shape[0]


def released_terms(embeddings: Embeddings, object_attribute: Tensor, attribute_category: Tensor) -> Terms:
    """Return the contrastive terms as the published code computes them.

    With D(S) = `diagonal_cross_entropy`, τ₁ the object-attribute and τ₂ the attribute-category temperature::

        object_attribute   = ½ D(z A⁺ᵀ / τ₁) + ½ D(A zᵀ / τ₁)
        attribute_category = ½ D(A C⁺ᵀ / τ₂) + ½ D(C A⁺ᵀ / τ₂)
        category_category  = -(1/B) Σ_k log softmax(C C⁺ᵀ / τ₁)[k, 0]

    Peculiar: the last pulls every row towards category 0 of the batch while the row's own similarity stands in the
    denominator; equal categories are negatives of one another; of more images than rows, the extra ones' target is a
    negative description.  Category ids are not looked at.

    Args:
        embeddings: hidden states of one process.
        object_attribute: τ₁, a scalar.
        attribute_category: τ₂, a scalar.
    """
    image, attribute, category = (
        normalised(each) for each in (embeddings.image, embeddings.attribute, embeddings.category)
    )
    attributes = _stacked(attribute, embeddings.neg_attribute)
    categories = _stacked(category, embeddings.neg_category)
    to_zero = functional.log_softmax(category @ categories.T / object_attribute, dim=1)[:, 0]
    return _with_means(
        {
            "image_to_attribute": diagonal_cross_entropy(image @ attributes.T / object_attribute),
            "attribute_to_image": diagonal_cross_entropy(attribute @ image.T / object_attribute),
            "attribute_to_category": diagonal_cross_entropy(attribute @ categories.T / attribute_category),
            "category_to_attribute": diagonal_cross_entropy(category @ attributes.T / attribute_category),
            "category_category": -to_zero.mean(),
        }
    )


def _stacked(positives: Tensor, negatives: Tensor | None) -> Tensor:
    return positives if negatives is None else torch.cat([positives, normalised(negatives)])


def _with_means(terms: Terms) -> Terms:
    terms["object_attribute"] = (terms["image_to_attribute"] + terms["attribute_to_image"]) / 2
    terms["attribute_category"] = (terms["attribute_to_category"] + terms["category_to_attribute"]) / 2
    return terms


def paper_terms(embeddings: Embeddings, object_attribute: Tensor, attribute_category: Tensor) -> Terms:
    """Return the contrastive terms as the paper's figure shows them.

    Let K(X, Y, τ) = -(1/rows) Σ_r log( exp(x_r·y_t(r)/τ) / Σ_{c: c = t(r) or cat(c) ≠ cat(r)} exp(x_r·y_c/τ) ), where
    t(r) is r's partner: columns of r's own category other than the partner are in no sum.  Then::

        object_attribute   = ½ K(z, A⁺, τ₁) + ½ K(A, z, τ₁)
        attribute_category = ½ K(A⁺, C⁺, τ₂) + ½ K(C⁺, A⁺, τ₂)
        category_category  = (1/B) Σ_k log Σ_{c of C⁺: cat(c) ≠ cat(k)} exp(c_k·c_c/τ₁)

    Negatives are rows of the second term too: each is to find the name or the description of its own category.  A
    negative without a partner is a column only.  The third has neither a diagonal nor a target: it only drives
    different categories apart, and a row that has no other category counts as 0.  Its temperature is taken without
    gradient, since a sum of repulsions alone would drive any temperature up to its bound.

    Args:
        embeddings: hidden states; gathered ones where several processes train (`gathered`).
        object_attribute: τ₁, a scalar.
        attribute_category: τ₂, a scalar.
    """
    many, device = embeddings.attribute.shape[0], embeddings.attribute.device
    image, attribute, category = (
        normalised(each) for each in (embeddings.image, embeddings.attribute, embeddings.category)
    )
    attributes = _stacked(attribute, embeddings.neg_attribute)
    categories = _stacked(category, embeddings.neg_category)
    rows = torch.arange(many, device=device) if embeddings.image_rows is None else embeddings.image_rows
    own = _ids(embeddings)
    partners = _partners(embeddings)
    named = torch.cat([own, _unknown_apart(embeddings.neg_category, embeddings.neg_category_ids, own)])
    described = torch.cat([own, _unknown_apart(embeddings.neg_attribute, embeddings.neg_attribute_ids, own)])
    # A description of unknown category is of its partner's, and without one like no other.
    described = torch.where(
        described >= 0, described, torch.where(partners >= 0, named[partners], described - len(named))
    )
    back = torch.full((categories.shape[0] + 1,), -1, device=device, dtype=torch.long)
    back[partners] = torch.arange(len(partners), device=device)  # -1, no partner, goes to the spare last place
    back = back[:-1]
    return _with_means(
        {
            "image_to_attribute": _info_nce(image @ attributes.T / object_attribute, rows, own[rows], described),
            "attribute_to_image": _info_nce(
                attribute @ image.T / object_attribute, _first_image(rows, many), own, own[rows]
            ),
            "attribute_to_category": _info_nce(
                attributes @ categories.T / attribute_category, partners, described, named
            ),
            "category_to_attribute": _info_nce(categories @ attributes.T / attribute_category, back, named, described),
            "category_category": _repulsion(category @ categories.T / object_attribute.detach(), own, named),
        }
    )


def _ids(embeddings: Embeddings) -> Tensor:
    """Return the rows' categories: given ones, or each row its own."""
    if embeddings.category_ids is not None:
        return embeddings.category_ids
    return torch.arange(embeddings.attribute.shape[0], device=embeddings.attribute.device)


def _unknown_apart(negatives: Tensor | None, ids: Tensor | None, like: Tensor) -> Tensor:
    """Return the negatives' categories; unknown ones get numbers of their own, below -1."""
    numbers = torch.arange(0 if negatives is None else negatives.shape[0], device=like.device)
    return -2 - numbers if ids is None else torch.where(ids < 0, -2 - numbers, ids)


def _partners(embeddings: Embeddings) -> Tensor:
    """Return for each row of A⁺ its column of C⁺, -1 for none: shape (B + P,)."""
    many, device = embeddings.attribute.shape[0], embeddings.attribute.device
    count = 0 if embeddings.neg_attribute is None else embeddings.neg_attribute.shape[0]
    pairs = embeddings.pairs
    if pairs is None:
        same = embeddings.neg_category is not None and embeddings.neg_category.shape[0] == count
        numbers = torch.arange(count, device=device)
        pairs = numbers if same else torch.full_like(numbers, -1)
    return torch.cat([torch.arange(many, device=device), torch.where(pairs < 0, -1, pairs + many)])


def _first_image(rows: Tensor, many: int) -> Tensor:
    """Return for each row the first image that belongs to it, -1 for none: (I,) to (many,)."""
    count = rows.shape[0]
    first = torch.full((many,), count, device=rows.device, dtype=torch.long)
    first = first.scatter_reduce(0, rows, torch.arange(count, device=rows.device), "amin")
    return torch.where(first == count, -1, first)


def _info_nce(logits: Tensor, targets: Tensor, row_ids: Tensor, column_ids: Tensor) -> Tensor:
    """Return K of `paper_terms`.

    Args:
        logits: shape (rows, columns), divided by the temperature.
        targets: shape (rows,): each row's partner, -1 for rows that have none and count nothing.
        row_ids: shape (rows,): categories.
        column_ids: shape (columns,): categories.
    """
    columns = torch.arange(logits.shape[1], device=logits.device)
    same = (row_ids[:, None] == column_ids[None, :]) & (columns[None, :] != targets[:, None])
    kept = logits.masked_fill(same, float("-inf"))
    # A row without a partner may have every column masked: it is computed on what it had, and left out after.
    there = targets >= 0
    entropies = functional.cross_entropy(
        torch.where(there[:, None], kept, logits), targets.clamp_min(0), reduction="none"
    )
    return torch.where(there, entropies, 0.0).sum() / there.sum().clamp_min(1)


def _repulsion(logits: Tensor, row_ids: Tensor, column_ids: Tensor) -> Tensor:
    """Return the third term of `paper_terms` from similarities divided by the temperature, (B, B + Q)."""
    same = row_ids[:, None] == column_ids[None, :]
    alone = same.all(dim=1)
    sums = torch.logsumexp(logits.masked_fill(same & ~alone[:, None], float("-inf")), dim=1)
    return torch.where(alone, 0.0, sums).mean()


def gathered(embeddings: Embeddings) -> Embeddings:
    """Return the embeddings of all processes, in the order of their ranks; gradients flow back to each.

    Every process then computes the same loss of the joined batch.  Averaged over processes, as data-parallel
    training does it, the gradients are those of one process with that batch (`finedefics.gathering`).  Does nothing
    where one process trains.  Whether there are negatives must not differ between processes by more than their
    number; category ids have to mean the same everywhere.
    """
    device = embeddings.attribute.device
    many = embeddings.attribute.shape[0]
    rows = torch.arange(many, device=device) if embeddings.image_rows is None else embeddings.image_rows
    own = _ids(embeddings)
    if embeddings.category_ids is None:
        own = own + offset(many, device)
    empty = embeddings.attribute[:0]
    neg_attribute = empty if embeddings.neg_attribute is None else embeddings.neg_attribute
    neg_category = empty if embeddings.neg_category is None else embeddings.neg_category
    pairs = _partners(embeddings)[many:] - many
    pairs = torch.where(pairs < 0, -1, pairs + offset(neg_category.shape[0], device))
    unknown_attributes = own.new_full((neg_attribute.shape[0],), -1)
    unknown_categories = own.new_full((neg_category.shape[0],), -1)
    given = replace(
        embeddings,
        neg_attribute=neg_attribute,
        neg_category=neg_category,
        category_ids=own,
        image_rows=rows + offset(many, device),
        pairs=pairs,
        neg_attribute_ids=_or(embeddings.neg_attribute_ids, unknown_attributes),
        neg_category_ids=_or(embeddings.neg_category_ids, unknown_categories),
    )
    return Embeddings(**{item.name: all_rows(getattr(given, item.name)) for item in fields(given)})


def _or(given: Tensor | None, default: Tensor) -> Tensor:
    return default if given is None else given
