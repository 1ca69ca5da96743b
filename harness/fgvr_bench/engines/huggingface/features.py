"""Features inside a loaded model: what its encoder, its connector and its language model make of pictures and texts.

=================  =====================================================================================
``encoder``        last layer of the vision tower, mean over its tokens
``connector``      what the language model is given for the picture, mean over its tokens
``language-mean``  last state (after the last norm) of the language model, mean over the picture's tokens
``language-last``  the same at the last of the picture's tokens
``language-end``   f([V; e]): the state at an end-of-text token right after the connector's output, no prompt
=================  =====================================================================================

The first two come from transformers' own ``get_image_features`` (its ``last_hidden_state`` and ``pooler_output``),
the next two from the model's whole forward pass in its own prompt, seen by a hook on its decoder.  The last one is how
stage I of Finedefics embeds a picture (docs/objective.md), with f(text, e) for texts; positions count up by one, and
every token sees those before it, whatever the family does with pictures in a prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fgvr_bench.engines.huggingface.decoding import rank
from fgvr_bench.engines.huggingface.preparing import ANSWERS, SOURCE, on_device
from fgvr_bench.engines.memory import memory_guard
from fgvr_bench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fgvr_bench.engines.huggingface.model import HuggingFaceModel

    Features = dict[str, NDArray[np.floating[Any]]]

SPACES: Mapping[str, tuple[str, ...]] = {
    "encoder": ("encoder",),
    "connector": ("connector",),
    "language": ("language-mean", "language-last", "language-end"),
}
"""Layers that can be asked for, and the kinds of features of each."""
END = "language-end"
"""The kind in which pictures and texts can be compared."""


class FeatureReader:
    """Reads features off one loaded model."""

    def __init__(self, model: HuggingFaceModel, name: str, layers: Sequence[str]) -> None:
        """Find where they can be read.

        Args:
            model: as `HuggingFacePlugin.load` returns it.
            name: for errors.
            layers: keys of `SPACES`.

        Raises:
            UsageError: this family has no such place; names it.
        """
        self.model = model.model
        self.preparer = model.preparer
        self.batch_size = model.batch_size
        self.layers = tuple(layers)
        self._name = f"{name} ({type(self.model).__name__})"
        parts = (self.model.base_model, self.model)
        self._eyes = next((part for part in parts if hasattr(part, "get_image_features")), None)
        if self._eyes is None:
            raise UsageError(
                f"{self._name}: no features can be had, for transformers gives this family no get_image_features.",
                hint="Name a model of another family; docs/probe.md lists them.",
            )
        self._named = tuple(inspect.signature(self._eyes.get_image_features).parameters)
        if "language" in self.layers:
            self._find_language()

    @property
    def spaces(self) -> tuple[str, ...]:
        """Kinds of features that `read` returns."""
        return tuple(space for layer in self.layers for space in SPACES[layer])

    def read(self, items: Sequence[dict[str, Any]]) -> Features:
        """Return the features of pictures, an array (items, dimensions) a kind.

        What a picture's features are does not depend on its neighbours: those of one shape are encoded together,
        without padding, and prompts are padded with what the model masks.

        Args:
            items: what the preparer made of each prompt and picture.

        Raises:
            OutOfMemory: so many do not fit.
            UsageError: the model's output has no form that is understood.
        """
        import torch

        with memory_guard(), torch.inference_mode():
            found: dict[str, torch.Tensor] = {}
            rows: dict[str, list[torch.Tensor | None]] = {}
            for members in _alike(items):
                for space, values in self._seen([items[place] for place in members]).items():
                    kept = rows.setdefault(space, [None] * len(items))
                    for place, value in zip(members, values, strict=True):
                        kept[place] = value
            found |= {space: torch.stack([row for row in kept if row is not None]) for space, kept in rows.items()}
            if "language" in self.layers:
                found |= self._in_prompt(items)
            return {space: _numbers(found[space]) for space in self.spaces}

    def read_texts(self, texts: Sequence[str]) -> NDArray[np.floating[Any]]:
        """Return f(text, e) at e for each text, shape (texts, dimensions); each is read for itself."""
        import torch

        tokenizer = self.preparer.processor.tokenizer
        states = []
        with memory_guard(), torch.inference_mode():
            for text in texts:
                ids = [int(token) for token in tokenizer(text).input_ids]
                ids = ids if ids[-1:] == [self._end] else [*ids, self._end]
                embedded = self._embed(torch.tensor([ids], device=self._embed.weight.device))
                states.append(self._decoded(embedded)[0, -1])
            return _numbers(torch.stack(states))

    def _find_language(self) -> None:
        config = self.model.config
        if config.is_encoder_decoder:
            raise self._no_language("its language model reads a picture in an encoder and writes in a decoder")
        token = getattr(config, "image_token_id", None)
        self._token = getattr(config, "image_token_index", None) if token is None else token
        if self._token is None:
            raise self._no_language("its configuration names no token that stands for a picture")
        self._decoder = self.model.get_decoder()
        self._embed = self.model.get_input_embeddings()
        own, tokenizer = self._decoder.config.eos_token_id, self.preparer.processor.tokenizer
        end = next((each for each in (own, config.get_text_config().eos_token_id) if each is not None), None)
        end = tokenizer.eos_token_id if end is None else end
        if end is None:
            raise self._no_language("it names no end-of-text token")
        self._end = int(end[0] if isinstance(end, list | tuple) else end)

    def _no_language(self, why: str) -> UsageError:
        return UsageError(
            f"{self._name}: layer language cannot be had, for {why}.", hint="Leave it out: --layers encoder,connector"
        )

    def _seen(self, items: Sequence[dict[str, Any]]) -> dict[str, list[torch.Tensor]]:
        """Return what becomes of pictures of one shape before the prompt: a vector an item and kind."""
        import torch

        names = [name for name in self._named if name in items[0]]
        joined = {name: torch.cat([item[name] for item in items]).to(self.model.device) for name in names}
        assert self._eyes is not None  # noqa: S101 - checked when this was made
        found = self._eyes.get_image_features(**joined)
        towers = self._dealt(getattr(found, "last_hidden_state", None), len(items), "vision tower")
        given = self._dealt(getattr(found, "pooler_output", None), len(items), "connector")
        seen: dict[str, list[torch.Tensor]] = {}
        if "encoder" in self.layers:
            seen["encoder"] = [_mean(tokens) for tokens in towers]
        if "connector" in self.layers:
            seen["connector"] = [_mean(tokens) for tokens in given]
        if "language" in self.layers:
            seen[END] = self._ended(given)
        return seen

    def _dealt(self, features: Any, count: int, what: str) -> list[torch.Tensor]:
        """Deal features of pictures or tiles out to items of one shape, each (tokens, dimensions)."""
        import torch

        if isinstance(features, torch.Tensor) and features.dim() == 3 and len(features) == 1:
            features = features[0]  # one sequence of all pictures (Pixtral), or the tokens of a single one
        parts = list(features) if isinstance(features, list | tuple | torch.Tensor) else []
        if not parts or len(parts) % count:
            raise UsageError(
                f"{self._name}: no features can be had of its {what}, whose output transformers gives in a form of "
                "its own, or not at all.",
                hint="Name a model of another family; docs/probe.md lists them.",
            )
        each = len(parts) // count
        flat = [part.reshape(-1, part.shape[-1]) for part in parts]
        return [torch.cat(flat[start : start + each]) for start in range(0, len(flat), each)]

    def _ended(self, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        import torch

        end = self._embed(torch.tensor([[self._end]], device=self._embed.weight.device))
        if given[0].shape[-1] != end.shape[-1]:
            raise self._no_language(
                f"its connector gives {given[0].shape[-1]} numbers a token and its language model reads {end.shape[-1]}"
            )
        values = torch.stack([tokens.to(end) for tokens in given])  # of one shape, so of one length
        return list(self._decoded(torch.cat([values, end.expand(len(values), -1, -1)], dim=1))[:, -1])

    def _decoded(self, embedded: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return states

    def _in_prompt(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the language model's states at the pictures' tokens, in the model's own prompt."""
        import torch

        batch = self.preparer.batch(list(items))
        inputs = on_device(batch, self.model.device)
        states: list[torch.Tensor] = []

        def keep(_module: Any, _given: Any, output: Any) -> None:
            states.append(output.last_hidden_state)

        hook = self._decoder.register_forward_hook(keep)
        try:
            rank(self.model, inputs, [[0]] * len(items))  # a forward pass as a run makes it; the ranking is not used
        finally:
            hook.remove()
        at: Any = inputs["input_ids"] == self._token
        if not states or states[0].shape[:2] != at.shape or not at.any(dim=1).all():
            raise self._no_language("its prompt holds no tokens at which the picture stands")
        kept, at = states[0], at.to(states[0].device)
        last = at.shape[1] - 1 - at.flip(1).int().argmax(dim=1)
        return {
            "language-mean": torch.stack([_mean(row[here]) for row, here in zip(kept, at, strict=True)]),
            "language-last": kept[torch.arange(len(kept), device=kept.device), last],
        }


def _alike(items: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Return the places of items whose pictures can be encoded together: all inputs of one shape, and numbers alike."""
    groups: dict[Any, list[int]] = {}
    for place, item in enumerate(items):
        key = tuple(_kind(name, item[name]) for name in sorted(item) if name not in {SOURCE, ANSWERS})
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _kind(name: str, value: torch.Tensor) -> tuple[Any, ...]:
    """Return an input's shape; where it is a picture's grid or size, that too."""
    sizes = tuple(value.flatten().tolist()) if not value.is_floating_point() and value.numel() <= 4 else ()
    return name, tuple(value.shape), sizes


def _mean(tokens: torch.Tensor) -> torch.Tensor:
    """Return the mean over tokens, at least in single precision."""
    import torch

    exact = tokens if tokens.dtype == torch.float64 else tokens.float()
    return exact.mean(dim=0)


def _numbers(values: torch.Tensor) -> NDArray[np.floating[Any]]:
    import torch

    exact = values if values.dtype == torch.float64 else values.float()
    found: NDArray[np.floating[Any]] = exact.cpu().numpy()
    return found
