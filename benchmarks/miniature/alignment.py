"""What stage I works on: do the embeddings of pictures, descriptions and names lie where they belong?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from benchmarks.miniature.exam import Exam
from torch.nn.functional import normalize

from fgvr_datasets._moth_species import SPECIES, describe

MATES = [[place for place, other in enumerate(SPECIES) if other.genus is species.genus] for species in SPECIES]
"""Places of each species' genus."""


@torch.inference_mode()
def alignment(model: Any, exam: Exam, every: int) -> dict[str, list[int]]:
    """Return how often a picture is nearer to the own description, or name, than to those of its three siblings.

    Everything is read as stage I reads it: off the end-of-text token's last state, of [picture; end] and [text; end].

    Args:
        model: a tiny Idefics2.
        exam: holds pictures and tokenizer.
        every: take every so many pictures only.

    Returns:
        Right ones and pictures, by ``description`` and ``name``; and how many descriptions are nearest to their own
        name among the siblings' names, ``description to name``.
    """
    from finedefics.families import family_of

    family = family_of(model.eval())
    device = exam.pictures.device
    end = family.embed(torch.tensor([[family.end_of_text]], device=device))
    labels = [species.label for species in SPECIES]
    places = list(range(0, len(exam.examples), every))
    own = [labels.index(exam.examples[place].label) for place in places]
    found = []
    for start in range(0, len(places), 120):
        pixels = exam.pictures.take(torch.tensor(places[start : start + 120]))
        features = family.image_features({"pixel_values": pixels[:, None]})
        embedded = torch.cat([features, end.expand(len(features), -1, -1)], dim=1)
        found.append(family.decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state[:, -1])
    images = normalize(torch.cat(found), dim=-1)
    names, texts = (_texts(family, exam.tokenizer, given) for given in (labels, [describe(s) for s in SPECIES]))
    return {
        "description": _nearest(images @ texts.T, own),
        "name": _nearest(images @ names.T, own),
        "description to name": _nearest(texts @ names.T, range(len(labels))),
    }


def _texts(family: Any, tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Return the texts' embeddings, one by one: shape (texts, hidden)."""
    rows = []
    for text in texts:
        ids = torch.tensor([[*tokenizer(text).input_ids, family.end_of_text]], device=family.head.weight.device)
        rows.append(family.decoder(inputs_embeds=family.embed(ids), use_cache=False).last_hidden_state[0, -1])
    return normalize(torch.stack(rows), dim=-1)


def _nearest(similarities: torch.Tensor, own: Sequence[int]) -> list[int]:
    """Count the rows whose own column is the nearest among its siblings'."""
    right = sum(
        int(row[MATES[place]].argmax()) == MATES[place].index(place)
        for row, place in zip(similarities, own, strict=True)
    )
    return [right, len(own)]
