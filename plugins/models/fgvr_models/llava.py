"""LLaVA-1.5 (Liu et al. 2023, arXiv 2310.03744)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

LLAVA = HuggingFacePlugin(
    card=ModelCard(
        name="llava",
        title="LLaVA-1.5 7B",
        checkpoint="llava-hf/llava-1.5-7b-hf",
        licence="Llama 2 Community License",
        citation="Liu et al., Improved Baselines with Visual Instruction Tuning, 2023, arXiv 2310.03744",
        homepage="https://huggingface.co/llava-hf/llava-1.5-7b-hf",
        parameters=7_100_000_000,
        exposure="zero-shot",
        foci_template="USER: <image>\n{}\nASSISTANT:",
        aliases=("llava-1.5-7b",),
    ),
    template_source="https://github.com/huggingface/transformers/blob/008f5c8c29be84d4721dc6d1e0fcd72300580be4/"
    "docs/source/en/model_doc/llava.md",
    template="USER: <image>\n{} ASSISTANT:",
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(LLAVA)
