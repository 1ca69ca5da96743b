"""Phi-4 multimodal (Abouelenin et al. 2025, arXiv 2503.01743), with the adapter that its makers trained for images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin


def see_both_ways(model: Any) -> None:
    """Let every image patch see all the others.

    Transformers marks this vision tower's attention as causal, and follows the mark where a whole batch has no
    padding: the same image would then give other features alone than beside a narrower one (seen with 5.23).
    """
    from transformers.models.phi4_multimodal.modeling_phi4_multimodal import Phi4MultimodalVisionAttention

    for part in model.modules():
        if isinstance(part, Phi4MultimodalVisionAttention):
            part.is_causal = False


PHI4 = HuggingFacePlugin(
    card=ModelCard(
        name="phi4-multimodal",
        title="Phi-4 multimodal 5.6B",
        checkpoint="microsoft/Phi-4-multimodal-instruct",
        revision="refs/pr/70",  # the weights as transformers' own classes name them; the main branch brings code
        licence="MIT",
        citation="Abouelenin et al., Phi-4-Mini Technical Report, 2025, arXiv 2503.01743",
        homepage="https://huggingface.co/microsoft/Phi-4-multimodal-instruct",
        parameters=5_570_000_000,
        exposure="unknown",
        aliases=("phi4", "phi-4-multimodal"),
    ),
    template="<|user|><|image|>{}<|end|><|assistant|>",
    template_source="https://github.com/huggingface/transformers/blob/020a37d2264e60dc7beb9634c3e87ad870073e2c/"
    "tests/models/phi4_multimodal/test_modeling_phi4_multimodal.py",
    image_settings={"dynamic_hd": None},
    end_tokens=("<|end|>",),
    adapter="vision-lora",
    adapt=see_both_ways,
    adaptation="vision attention in both directions",
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(PHI4)
