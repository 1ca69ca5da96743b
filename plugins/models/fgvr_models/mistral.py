"""Pixtral (Agrawal et al. 2024, arXiv 2410.07073) and Mistral Small 3.1, which sees too."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

PIXTRAL = HuggingFacePlugin(
    card=ModelCard(
        name="pixtral",
        title="Pixtral 12B",
        checkpoint="mistral-community/pixtral-12b",
        licence="Apache-2.0",
        citation="Agrawal et al., Pixtral 12B, 2024, arXiv 2410.07073",
        homepage="https://huggingface.co/mistral-community/pixtral-12b",
        parameters=12_680_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/mistralai/mistral-common/blob/162b33a0397f7e96e086079d4fceded8a6b13e07/"
    "tests/test_tokenizer_v3_mm.py",
)
MISTRAL_SMALL = HuggingFacePlugin(
    card=ModelCard(
        name="mistral-small",
        title="Mistral Small 3.1 24B",
        checkpoint="mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        licence="Apache-2.0",
        citation="Mistral AI, Mistral Small 3.1, 2025",
        homepage="https://huggingface.co/mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        parameters=24_010_000_000,
        exposure="unknown",
        aliases=("mistral3",),
    ),
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register both."""
    register(PIXTRAL)
    register(MISTRAL_SMALL)
