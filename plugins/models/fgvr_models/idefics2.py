"""Idefics2 (Laurençon et al. 2024, arXiv 2405.02246): the model that Finedefics starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin


def trained_positions(model: Any) -> None:
    """Give the vision tower the patch positions that the published weights were trained with."""
    from fgvr_models.idefics2_positions import use_table

    use_table(model)


def idefics2(card: ModelCard) -> HuggingFacePlugin:
    """Declare a model of this family: no image splitting, as the published figures have it."""
    return HuggingFacePlugin(
        card=card,
        image_settings={"do_image_splitting": False},
        end_tokens=("<end_of_utterance>",),
        adapt=trained_positions,
        adaptation="patch positions by table",
    )


IDEFICS2 = idefics2(
    ModelCard(
        name="idefics2",
        title="Idefics2 8B",
        checkpoint="HuggingFaceM4/idefics2-8b",
        licence="Apache-2.0",
        citation="Laurençon et al., What matters when building vision-language models?, 2024, arXiv 2405.02246",
        homepage="https://huggingface.co/HuggingFaceM4/idefics2-8b",
        parameters=8_400_000_000,
        exposure="zero-shot",
        foci_template="User: {}",
        aliases=("idefics2-8b",),
    )
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(IDEFICS2)
