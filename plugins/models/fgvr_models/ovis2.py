"""Ovis2 (Lu et al. 2024, arXiv 2405.20797), in the layout that transformers loads."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

OVIS2 = HuggingFacePlugin(
    card=ModelCard(
        name="ovis2",
        title="Ovis2 2B",
        checkpoint="thisisiron/Ovis2-2B-hf",
        licence="Apache-2.0",
        citation="Lu et al., Ovis: Structural Embedding Alignment for Multimodal Large Language Model, 2024, "
        "arXiv 2405.20797",
        homepage="https://huggingface.co/thisisiron/Ovis2-2B-hf",
        parameters=2_460_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/17afef9c1b5853fd7054900ba58bfd04a898bde7/"
    "src/transformers/models/ovis2/convert_ovis2_weights_to_hf.py",
    image_settings={"crop_to_patches": None, "max_patches": None},
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(OVIS2)
