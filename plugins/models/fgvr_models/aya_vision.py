"""Aya Vision (Dash et al. 2025, arXiv 2505.08751)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

AYA_VISION = HuggingFacePlugin(
    card=ModelCard(
        name="aya-vision",
        title="Aya Vision 8B",
        checkpoint="CohereLabs/aya-vision-8b",
        licence="CC-BY-NC-4.0",
        citation="Dash et al., Aya Vision: Advancing the Frontier of Multilingual Multimodality, 2025, "
        "arXiv 2505.08751",
        homepage="https://huggingface.co/CohereLabs/aya-vision-8b",
        parameters=8_600_000_000,  # counted from its sizes, to two digits
        exposure="unknown",
    ),
    image_settings={"max_patches": None},
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(AYA_VISION)
