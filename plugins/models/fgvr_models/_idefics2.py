"""What the models of the Idefics2 family share, so that neither plugin needs the other."""

from __future__ import annotations

from typing import Any

from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard


def trained_positions(model: Any) -> None:
    """Give the vision tower the patch positions that the published weights were trained with."""
    from fgvr_models._idefics2_positions import use_table

    use_table(model)


def idefics2(card: ModelCard) -> HuggingFacePlugin:
    """Declare a model of this family: no image splitting, as the published figures have it."""
    return HuggingFacePlugin(
        card=card,
        template_source="https://github.com/huggingface/transformers/blob/v4.40.2/"
        "src/transformers/models/idefics2/processing_idefics2.py",
        image_settings={"do_image_splitting": False},
        end_tokens=("<end_of_utterance>",),
        adapt=trained_positions,
        adaptation="patch positions by table",
    )
