"""Any other image-text-to-text checkpoint that transformers loads: ``hf:organisation/name``."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

HF = HuggingFacePlugin(
    card=ModelCard(
        name="hf:",
        title="Any image-text-to-text checkpoint: hf:organisation/name",
        licence="the checkpoint's own",
        homepage="https://huggingface.co/models?pipeline_tag=image-text-to-text",
    )
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the scheme."""
    register(HF)
