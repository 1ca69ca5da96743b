"""LLaVA-OneVision (Li et al. 2024, arXiv 2408.03326)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

LLAVA_ONEVISION = HuggingFacePlugin(
    card=ModelCard(
        name="llava-onevision",
        title="LLaVA-OneVision 7B",
        checkpoint="llava-hf/llava-onevision-qwen2-7b-ov-hf",
        licence="Apache-2.0",
        citation="Li et al., LLaVA-OneVision: Easy Visual Task Transfer, 2024, arXiv 2408.03326",
        homepage="https://huggingface.co/llava-hf/llava-onevision-qwen2-7b-ov-hf",
        parameters=8_030_000_000,
        exposure="zero-shot",
    ),
    template_source="https://github.com/huggingface/transformers/blob/1a6e6ad97a7c5f6e196300a77ff1f6618a73155c/"
    "tests/models/llava_onevision/test_processing_llava_onevision.py",
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(LLAVA_ONEVISION)
