"""Idefics2 (Laurençon et al. 2024, arXiv 2405.02246): the model that Finedefics starts from."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import ModelCard, ModelPlugin
from fgvr_models._idefics2 import idefics2

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
        foci_trims=True,
        aliases=("idefics2-8b",),
    )
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(IDEFICS2)
