"""Idefics3 (Laurençon et al. 2024, arXiv 2408.12637) and SmolVLM (Marafioti et al. 2025, arXiv 2504.05299)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

IDEFICS3 = HuggingFacePlugin(
    card=ModelCard(
        name="idefics3",
        title="Idefics3 8B",
        checkpoint="HuggingFaceM4/Idefics3-8B-Llama3",
        licence="Apache-2.0",
        citation="Laurençon et al., Building and better understanding vision-language models, 2024, arXiv 2408.12637",
        homepage="https://huggingface.co/HuggingFaceM4/Idefics3-8B-Llama3",
        parameters=8_460_000_000,
        exposure="zero-shot",
        aliases=("idefics3-8b",),
    ),
    image_settings={"do_image_splitting": None},
    end_tokens=("<end_of_utterance>",),
)
SMOLVLM = HuggingFacePlugin(
    card=ModelCard(
        name="smolvlm",
        title="SmolVLM2 2.2B",
        checkpoint="HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        licence="Apache-2.0",
        citation="Marafioti et al., SmolVLM: Redefining small and efficient multimodal models, 2025, arXiv 2504.05299",
        homepage="https://huggingface.co/HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        parameters=2_250_000_000,
        exposure="zero-shot",
    ),
    template_source="https://github.com/huggingface/transformers/blob/v4.57.3/"
    "src/transformers/models/smolvlm/processing_smolvlm.py",
    image_settings={"do_image_splitting": None},
    end_tokens=("<end_of_utterance>",),
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register both."""
    register(IDEFICS3)
    register(SMOLVLM)
