"""What stage I needs of a model: the decoder, the embedding table, the head and the image features.

Everything special about a family is in its entry of `FAMILIES`; the losses and the steps ask for nothing else.  To
add one, say how its image features come as a tensor, provided that images and texts share one decoder with positions
counted from 0 in one dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fgvr_bench.errors import UsageError

Batch = Mapping[str, Any]

Features = Callable[[Any, Batch], Tensor]
"""``features(model, batch)``: what the connector gives for each image, (I, N, H); padding images are left out."""


@dataclass(frozen=True, slots=True)
class Family:
    """A model seen by stage I."""

    model: nn.Module
    """The model itself, out of its wrappers; adapters stay inside."""
    decoder: nn.Module
    """Language model without head: embeddings (1 or B, T, H) to states after the last norm."""
    embed: nn.Module
    """Token ids to embeddings."""
    head: nn.Module
    """States to logits over the vocabulary."""
    image_token: int
    """Id that stands for one image feature in a prompt."""
    end_of_text: int
    """Id of the token whose state is a text's or an image's embedding."""
    features: Features
    """How image features come."""

    def image_features(self, batch: Batch) -> Tensor:
        """Return the connector's output V for each image: shape (I, N, H)."""
        return self.features(self.model, batch)

    def merged(self, ids: Tensor, features: Tensor) -> Tensor:
        """Return embeddings of prompts, image features in the places of image tokens.

        Args:
            ids: shape (B, T); image tokens as many as features.
            features: shape (I, N, H).

        Returns:
            Shape (B, T, H).
        """
        embedded: Tensor = self.embed(ids)
        flat = features.reshape(-1, features.shape[-1]).to(embedded.dtype)
        return embedded.masked_scatter((ids == self.image_token)[..., None], flat)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside peft's, data-parallel training's and torch.compile's wrappers."""
    for name in ("module", "_orig_mod"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return unwrapped(inner)
    base = getattr(model, "get_base_model", None)
    return unwrapped(base()) if callable(base) and base() is not model else model


def _joined(features: Any) -> Tensor:
    """Return image features as one tensor, whether they came as such or as a list."""
    return features if isinstance(features, Tensor) else torch.cat(list(features))


def _idefics2(model: Any, batch: Batch) -> Tensor:
    given = model.get_image_features(batch["pixel_values"], batch.get("pixel_attention_mask"), return_dict=True)
    features = _joined(given.pooler_output)
    latents: int = model.config.perceiver_config.resampler_n_latents
    return features.reshape(-1, latents, features.shape[-1])


def _llava(model: Any, batch: Batch) -> Tensor:
    given = model.get_image_features(batch["pixel_values"], return_dict=True)
    features = _joined(given.pooler_output)
    return features.reshape(len(batch["pixel_values"]), -1, features.shape[-1])


FAMILIES: dict[str, Features] = {"idefics2": _idefics2, "llava": _llava}
"""Image features by ``model_type`` of the configuration."""


def family_of(model: nn.Module) -> Family:
    """Return what stage I needs of a model; wrapped ones too.

    Raises:
        UsageError: the model is of a family that stage I does not know, or has no end-of-text id.
    """
    inner: Any = unwrapped(model)
    kind = inner.config.model_type
    if kind not in FAMILIES:
        raise UsageError(
            f"Training does not know models of type {kind!r}.", hint=f"It knows {', '.join(sorted(FAMILIES))}."
        )
    decoder = inner.model.text_model if hasattr(inner.model, "text_model") else inner.model.language_model
    end = decoder.config.eos_token_id if decoder.config.eos_token_id is not None else inner.config.eos_token_id
    if end is None:
        raise UsageError("The model's configuration does not say which token ends a text (eos_token_id).")
    return Family(
        model=inner,
        decoder=decoder,
        embed=decoder.get_input_embeddings(),
        head=inner.lm_head,
        image_token=inner.config.image_token_id,
        end_of_text=end[0] if isinstance(end, list) else end,
        features=FAMILIES[kind],
    )


ADAPTED_BY = {"idefics2": "idefics2"}
"""Model plugins of the harness whose `adapt` a family's models need, by ``model_type``."""


def adapt(model: nn.Module) -> None:
    """Give a freshly loaded model what the harness gives it before evaluating, in place.

    For Idefics2 these are the patch positions that the published weights were trained with; versions of transformers
    compute others.  The harness's own model plugin of the family does it.
    """
    from fgvr_bench.core.host import host

    inner: Any = unwrapped(model)
    name = ADAPTED_BY.get(inner.config.model_type)
    if name is not None:
        plugin: Any = host().models[name]
        plugin.adapt(inner)
