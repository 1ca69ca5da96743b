"""The step of stage I: from a batch to its losses, straightforwardly or in one packed pass.

What a step reads off the decoder, f being its states after the last norm and e the embedding of the end-of-text token:

* each image: f([V; e]) at the last position, V the connector's output; no beginning-of-text token, no prompt;
* each description and each name: f(text) at its end-of-text token;
* each question: the states before the tokens that are learnt.

The straightforward step runs the decoder once for each of these groups.  The packed one runs it once for all; its
losses and gradients are the same.  (Left-padded questions under ``released`` have a pass of their own in both.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from finedefics.collation import IGNORED
from finedefics.contrast import Embeddings
from finedefics.families import Family, family_of
from finedefics.gathering import processes
from finedefics.objective import (
    Losses,
    Reading,
    Temperatures,
    Weights,
    contrastive_terms,
    generation_loss,
    weighed,
)
from finedefics.packing import Block, attending, decode, half_precision, pack
from finedefics.texts import Texts, text_groups

Batch = Mapping[str, Any]


def stage_one_losses(
    model: nn.Module | Family,
    batch: Batch,
    *,
    temperatures: Temperatures,
    reading: Reading = "paper",
    weights: Weights | None = None,
    packed: bool | None = True,
    gather: bool | None = None,
) -> Losses:
    """Return the losses of a batch; both stages', since a batch without texts has the generation loss only.

    Args:
        model: a model of a known family, adapters and wrappers included, or what `family_of` said of it.
        batch: as `finedefics.collation.Collator` makes it, of the same reading, on the model's device.
        temperatures: brought into their bounds before they are used.
        reading: see `finedefics.objective`.
        weights: what each term counts; of weight 0: left out; no text is read where only the generation loss counts.
        packed: one pass over all texts; else one pass a group.  None packs where attention knows where texts end, on a
            GPU in half precision; elsewhere attention over the whole row costs more than the passes that it spares.
        gather: whether positives and negatives of all processes are contrasted; by default under ``paper`` wherever
            several train.

    Raises:
        DataInvalid: a text without end-of-text (``released``: as the published code would fail).
    """
    family = model if isinstance(model, Family) else family_of(model)
    weights = Weights() if weights is None else weights
    gather = (reading == "paper" and processes() > 1) if gather is None else gather
    features = family.image_features(batch)
    packed = half_precision(features) is not None if packed is None else packed
    groups = text_groups(batch, reading, family.end_of_text) if weights.contrastive else {}
    rows, columns = _learnt(batch, reading)
    if packed:
        hidden, embeddings = _packed_pass(family, batch, features, groups, (rows, columns), reading)
    else:
        hidden, embeddings = _separate_passes(family, batch, features, groups, (rows, columns), reading)
    generation = None
    if weights.generation:
        targets = batch["labels"][rows, columns + 1]
        generation = generation_loss(hidden, targets, family.head, gather=gather)
    if not groups:
        return weighed(generation, {}, weights)
    temperatures.clamp_()
    terms = contrastive_terms(_embeddings(batch, embeddings, reading), temperatures, reading, gather=gather)
    return weighed(generation, terms, weights)


def _learnt(batch: Batch, reading: Reading) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the states that predict what is learnt."""
    learnt = batch["labels"] != IGNORED
    if reading == "released":
        learnt = learnt & (batch["attention_mask"] == 1)
    rows, columns = learnt[:, 1:].nonzero(as_tuple=True)
    return rows, columns


def _embeddings(batch: Batch, found: Mapping[str, Tensor], reading: Reading) -> Embeddings:
    """Name the embeddings, with what the batch says of their categories."""
    states = Embeddings(
        image=found["image"],
        attribute=found["att"],
        category=found["cat"],
        neg_attribute=found.get("neg_att"),
        neg_category=found.get("neg_cat"),
    )
    if reading == "released":
        return states
    return replace(
        states,
        category_ids=batch.get("category_ids"),
        neg_attribute_ids=batch.get("neg_att_ids"),
        neg_category_ids=batch.get("neg_cat_ids"),
        image_rows=batch.get("image_rows"),
        pairs=batch.get("pairs"),
    )


def _with_end(family: Family, features: Tensor) -> Tensor:
    """Return [V; e] for each image: (I, N, H) to (I, N + 1, H)."""
    end = torch.tensor([[family.end_of_text]], device=features.device)
    embedded: Tensor = family.embed(end)
    return torch.cat([features.to(embedded.dtype), embedded.expand(features.shape[0], 1, -1)], dim=1)


def _asked_apart(family: Family, batch: Batch, features: Tensor, reading: Reading) -> Tensor | None:
    """Return the states of questions and answers where they need a pass of their own, else None; shape (B, T, H).

    The published reading learns a row's first token too, which under left padding a padding token predicts: it sees
    its whole row alike.  Fused attention has the right states there, but wrong gradients (it keeps the logarithm of a
    sum in which the number of tokens is lost beside the smallest number), so this pass runs on eager attention.
    """
    mask = batch["attention_mask"] == 1
    if reading != "released" or not bool((~mask[:, :-1] & mask[:, 1:]).any()):
        return None
    asked = family.merged(batch["input_ids"], features)
    seen = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).tril() & mask[:, None]
    # Eager attention takes its softmax in 32 bits, where the smallest number of 64 would be minus infinity.
    lowest = max(torch.finfo(asked.dtype).min, torch.finfo(torch.float32).min)
    added = torch.full(seen.shape, lowest, dtype=asked.dtype, device=mask.device).masked_fill(seen, 0.0)[:, None]
    with attending(family.decoder, "eager"):
        return _states(family, asked, added)


def _states(family: Family, embedded: Tensor, mask: Tensor | None) -> Tensor:
    states: Tensor = family.decoder(inputs_embeds=embedded, attention_mask=mask, use_cache=False).last_hidden_state
    return states


def _separate_passes(
    family: Family,
    batch: Batch,
    features: Tensor,
    groups: Mapping[str, Texts],
    learnt: tuple[Tensor, Tensor],
    reading: Reading,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run the decoder once a group; return the states that predict, and the embeddings by group."""
    asked = _asked_apart(family, batch, features, reading)
    if asked is None:
        asked = _states(family, family.merged(batch["input_ids"], features), batch["attention_mask"])
    if not groups:
        return asked[learnt], {}
    found = {"image": _states(family, _with_end(family, features), None)[:, -1]}
    for name, texts in groups.items():
        found[name] = _states(family, family.embed(texts.ids), texts.mask)[texts.rows, texts.columns]
    return asked[learnt], found


def _packed_pass(
    family: Family,
    batch: Batch,
    features: Tensor,
    groups: Mapping[str, Texts],
    learnt: tuple[Tensor, Tensor],
    reading: Reading,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run the decoder once over everything; return the same as `_separate_passes`."""
    apart = _asked_apart(family, batch, features, reading)
    if apart is not None and not groups:
        return apart[learnt], {}
    blocks: dict[str, Block] = {}
    if apart is None:
        kept = batch["attention_mask"] == 1
        blocks["asked"] = Block(family.merged(batch["input_ids"], features), kept, _counted(kept))
    if groups:
        images = _with_end(family, features)
        whole = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        blocks["image"] = Block(images, whole, _counted(whole))
        for name, texts in groups.items():
            blocks[name] = _text_block(family, texts)
    row = pack(list(blocks.values()))
    states = decode(family.decoder, row)
    places = dict(zip(blocks, row.places, strict=True))
    found = {name: states[places[name][texts.rows, texts.columns]] for name, texts in groups.items()}
    if groups:
        found["image"] = states[places["image"][:, -1]]
    return apart[learnt] if apart is not None else states[places["asked"][learnt]], found


def _counted(mask: Tensor) -> Tensor:
    """Return positions from 0 along each row, padding apart."""
    return (mask.long().cumsum(dim=1) - 1).clamp_min(0)


def _from_zero(mask: Tensor) -> Tensor:
    """Return positions from 0 along each row, padding counted."""
    return torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)


def _text_block(family: Family, texts: Texts) -> Block:
    """Pack what comes before the end that is read; padding before it too, where nothing masks it."""
    if texts.mask is not None:
        kept = texts.mask == 1
        return Block(family.embed(texts.ids), kept, _counted(kept))
    numbers = torch.arange(texts.ids.shape[1], device=texts.ids.device)
    last = torch.zeros(texts.ids.shape[0], dtype=torch.long, device=texts.ids.device)
    last = last.scatter_reduce(0, texts.rows, texts.columns, "amax")
    kept = numbers[None, :] <= last[:, None]
    return Block(family.embed(texts.ids), kept, _from_zero(kept))
