"""What is trained, as one torch module: a model, in stage I its temperatures, and the losses of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from finedefics.collation import IGNORED, Collator
from finedefics.families import family_of
from finedefics.joining import RowCache
from finedefics.objective import Temperatures, Weights
from finedefics.presets import Recipe
from finedefics.stage_one import stage_one_losses
from finedefics.training import Stage


class StageModule(nn.Module):
    """The losses of both stages by name, as accelerate's wrappers (data-parallel, FSDP, DeepSpeed) can handle them.

    Stage II is stage I without texts: its batches have the generation loss only.
    """

    def __init__(self, model: nn.Module, temperatures: Temperatures | None, reading: str, weights: Weights) -> None:
        super().__init__()
        self.model = model
        self.temperatures = temperatures
        self.reading: Any = reading
        self.weights = weights

    def forward(self, batch: Mapping[str, Any], share: float = 1.0) -> dict[str, Tensor]:
        """Return ``total``, with gradients, and every computed term without, each of shape ().

        Args:
            batch: as `finedefics.collation.Collator` makes it, on the model's device.
            share: factor of the generation loss, in ``total`` and by itself.
        """
        losses = stage_one_losses(
            self.model,
            batch,
            temperatures=self.temperatures if self.temperatures is not None else Temperatures(),
            reading=self.reading,
            weights=replace(self.weights, generation=share * self.weights.generation),
            packed=None,
        )
        found = {**losses.detached(), "total": losses.total}
        if "generation" in found:
            found["generation"] = share * found["generation"]
        return found


def weights_for(recipe: Recipe, contrasts: bool) -> Weights:
    """Return what each term counts under a recipe: ablated ones nothing, in stage II the generation loss alone."""
    if not contrasts:
        return Weights(1.0, 0.0, 0.0, 0.0)
    each = {"generation": 1.0}
    each |= dict.fromkeys(("object_attribute", "attribute_category", "category_category"), recipe.contrastive_weight)
    return Weights(**{name: 0.0 if name.replace("_", "-") in recipe.without else each[name] for name in each})


def temperatures_for(recipe: Recipe) -> Temperatures:
    """Return stage I's temperatures: trained, but frozen in the released reading, as its LoRA had them."""
    made = Temperatures(recipe.temperature, recipe.temperature)
    return made.requires_grad_(recipe.reading == "paper")


def make_stage(stage: str, model: Any, processor: Any, recipe: Recipe, cache: RowCache | None = None) -> Stage:
    """Return what a stage trains: the module that gives its losses, and the collator of its batches.

    Args:
        stage: ``align`` or ``tune``.
        model: with whatever is to be trained asking for gradients.
        processor: of the model.
        recipe: gives reading, ablations, temperatures.
        cache: prepared rows, where batches are put together from those.

    Raises:
        UsageError: the model is of a family that training does not know.
    """
    family_of(model)  # what no stage can train is refused here, not in the first step
    contrasts = stage == "align"
    temperatures = temperatures_for(recipe) if contrasts else None
    module = StageModule(model, temperatures, recipe.reading, weights_for(recipe, contrasts))
    collator = Collator(
        processor,
        recipe.reading,  # type: ignore[arg-type]
        answer_only=recipe.trains_on_answer_only,
        texts=contrasts,
    )
    return Stage(
        stage,
        module,
        cache.collator(collator, processor) if cache is not None else collator,
        temperatures,
        learnt_tokens if recipe.reading == "paper" else None,
    )


def learnt_tokens(batch: Mapping[str, Any]) -> int:
    """Return how many tokens the generation loss of a batch is the mean over."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())
