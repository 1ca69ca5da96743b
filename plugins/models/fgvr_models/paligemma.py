"""PaliGemma (Beyer et al. 2024, arXiv 2407.07726), the mixture of tasks."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

PALIGEMMA = HuggingFacePlugin(
    card=ModelCard(
        name="paligemma",
        title="PaliGemma 3B mix, 448 pixels",
        checkpoint="google/paligemma-3b-mix-448",
        licence="Gemma",
        citation="Beyer et al., PaliGemma: A versatile 3B VLM for transfer, 2024, arXiv 2407.07726",
        homepage="https://huggingface.co/google/paligemma-3b-mix-448",
        parameters=2_920_000_000,
        exposure="unknown",
        foci_template="<image>{}",
    ),
    template_source="https://ai.google.dev/gemma/docs/paligemma/prompt-system-instructions",
    template="<image>answer en {}",  # the makers' prefix for questions; the processor adds the rest
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(PALIGEMMA)
