"""Gemma 3 (Gemma team 2025, arXiv 2503.19786)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

GEMMA3 = HuggingFacePlugin(
    card=ModelCard(
        name="gemma3",
        title="Gemma 3 4B",
        checkpoint="google/gemma-3-4b-it",
        licence="Gemma",
        citation="Gemma team, Gemma 3 Technical Report, 2025, arXiv 2503.19786",
        homepage="https://huggingface.co/google/gemma-3-4b-it",
        parameters=4_300_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/0d7e95d96b4e187c651e2b2406ed98ed40d74963/"
    "src/transformers/models/gemma3/convert_gemma3_weights.py",
    image_settings={"do_pan_and_scan": None},
    end_tokens=("<end_of_turn>",),
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(GEMMA3)
