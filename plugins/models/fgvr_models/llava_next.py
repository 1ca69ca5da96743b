"""LLaVA-NeXT, also called LLaVA-1.6 (Liu et al. 2024), on Mistral and on Vicuna."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

MISTRAL = HuggingFacePlugin(
    card=ModelCard(
        name="llava-next",
        title="LLaVA-NeXT 7B (Mistral)",
        checkpoint="llava-hf/llava-v1.6-mistral-7b-hf",
        licence="Apache-2.0",
        citation="Liu et al., LLaVA-NeXT: Improved reasoning, OCR, and world knowledge, 2024",
        homepage="https://huggingface.co/llava-hf/llava-v1.6-mistral-7b-hf",
        parameters=7_570_000_000,
        exposure="zero-shot",
        foci_template="[INST] <image>\n{} [/INST]",
        aliases=("llava-next-mistral",),
    ),
    template_source="https://huggingface.co/llava-hf/llava-v1.6-mistral-7b-hf/blob/main/README.md",
)
VICUNA = HuggingFacePlugin(
    card=ModelCard(
        name="llava-next-vicuna",
        title="LLaVA-NeXT 7B (Vicuna)",
        checkpoint="llava-hf/llava-v1.6-vicuna-7b-hf",
        licence="Llama 2 Community License",
        citation="Liu et al., LLaVA-NeXT: Improved reasoning, OCR, and world knowledge, 2024",
        homepage="https://huggingface.co/llava-hf/llava-v1.6-vicuna-7b-hf",
        parameters=7_060_000_000,
        exposure="zero-shot",
        foci_template="USER: <image>\n{}\nASSISTANT:",
    ),
    # the 13B model's card; the template is the same
    template_source="https://huggingface.co/llava-hf/llava-v1.6-vicuna-13b-hf/blob/"
    "d1bfb9f05de9b54076a94c3a008d61a686bf7382/README.md",
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register both."""
    register(MISTRAL)
    register(VICUNA)
