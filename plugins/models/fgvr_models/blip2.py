"""BLIP-2 (Li et al. 2023, arXiv 2301.12597) and InstructBLIP (Dai et al. 2023, arXiv 2305.06500)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

INSTRUCT_SOURCE = (
    "https://github.com/salesforce/LAVIS/blob/1486a50e68da21c1846cdf9f78cade07b2486ac2/projects/instructblip/README.md"
)

BLIP2 = HuggingFacePlugin(
    card=ModelCard(
        name="blip2",
        title="BLIP-2 FlanT5-XL",
        checkpoint="Salesforce/blip2-flan-t5-xl",
        licence="MIT",
        citation="Li et al., BLIP-2, ICML 2023, arXiv 2301.12597",
        homepage="https://huggingface.co/Salesforce/blip2-flan-t5-xl",
        parameters=3_940_000_000,
        exposure="zero-shot",
    ),
    template_source="https://github.com/salesforce/LAVIS/blob/2e96b27f08120087d4fa2d34b531b63cdffd1cac/"
    "projects/blip2/README.md",
    template="Question: {} Answer:",
    words_alone=False,
)
VICUNA = HuggingFacePlugin(
    card=ModelCard(
        name="instructblip",
        title="InstructBLIP Vicuna-7B",
        checkpoint="Salesforce/instructblip-vicuna-7b",
        licence="other (Vicuna)",
        citation="Dai et al., InstructBLIP, NeurIPS 2023, arXiv 2305.06500",
        homepage="https://huggingface.co/Salesforce/instructblip-vicuna-7b",
        parameters=7_910_000_000,
        exposure="zero-shot",
    ),
    template_source=INSTRUCT_SOURCE,
    template="{}",
    words_alone=False,
)
FLAN_T5 = HuggingFacePlugin(
    card=ModelCard(
        name="instructblip-flan-t5",
        title="InstructBLIP FlanT5-XL",
        checkpoint="Salesforce/instructblip-flan-t5-xl",
        licence="MIT",
        citation="Dai et al., InstructBLIP, NeurIPS 2023, arXiv 2305.06500",
        homepage="https://huggingface.co/Salesforce/instructblip-flan-t5-xl",
        parameters=4_020_000_000,
        exposure="zero-shot",
    ),
    template_source=INSTRUCT_SOURCE,
    template="{}",
    words_alone=False,
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the three."""
    register(BLIP2)
    register(VICUNA)
    register(FLAN_T5)
