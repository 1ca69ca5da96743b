"""PerceptionLM (Cho et al. 2025, arXiv 2504.13180)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

if TYPE_CHECKING:
    from PIL.Image import Image


def tiles(processor: Any, text: str, image: Image) -> dict[str, Any]:
    """Call the processor, and count each tile as an image: then images of different shapes share a batch unpadded."""
    from fgvr_bench.engines.huggingface.preparing import call_processor

    inputs = call_processor(processor, text, image)
    inputs["pixel_values"] = inputs["pixel_values"].flatten(0, 1).unsqueeze(1)
    return inputs


PERCEPTION_LM = HuggingFacePlugin(
    card=ModelCard(
        name="perception-lm",
        title="PerceptionLM 8B",
        checkpoint="facebook/Perception-LM-8B",
        licence="FAIR Noncommercial Research License",
        citation="Cho et al., PerceptionLM: Open-Access Data and Models for Detailed Visual Understanding, 2025, "
        "arXiv 2504.13180",
        homepage="https://huggingface.co/facebook/Perception-LM-8B",
        parameters=9_790_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/0db25542f2190e3dd1e402c477fa713ed516d655/"
    "src/transformers/models/perception_lm/convert_perception_lm_weights_to_hf.py",
    image_settings={"max_num_tiles": None, "vision_input_type": None},
    process=tiles,
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(PERCEPTION_LM)
