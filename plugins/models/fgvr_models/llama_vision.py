"""Llama 3.2 Vision (Meta 2024, arXiv 2407.21783)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

LLAMA_VISION = HuggingFacePlugin(
    card=ModelCard(
        name="llama-vision",
        title="Llama 3.2 11B Vision",
        checkpoint="meta-llama/Llama-3.2-11B-Vision-Instruct",
        licence="Llama 3.2 Community License",
        citation="Grattafiori et al., The Llama 3 Herd of Models, 2024, arXiv 2407.21783",
        homepage="https://huggingface.co/meta-llama/Llama-3.2-11B-Vision-Instruct",
        parameters=10_670_000_000,
        exposure="unknown",
        aliases=("mllama",),
    ),
    template_source="https://github.com/meta-llama/llama-models/blob/8d29d93fa5700a60532e0061a02ffa89d0acd3fc/"
    "models/llama3_2/vision_prompt_format.md",
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(LLAMA_VISION)
