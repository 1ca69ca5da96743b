"""DeepSeek-VL (Lu et al. 2024, arXiv 2403.05525) and Janus-Pro (Chen et al. 2025, arXiv 2501.17811)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

DEEPSEEK_SOURCE = (
    "https://github.com/huggingface/transformers/blob/08bdcc14492f1aee5e6b340c18a1f2395e332b9a/"
    "tests/models/deepseek_vl/test_modeling_deepseek_vl.py"
)
JANUS_SOURCE = (
    "https://github.com/huggingface/transformers/blob/0760f1235189e871ca3aa2eac03ace6d4cc75cbb/"
    "src/transformers/models/janus/convert_janus_weights_to_hf.py"
)


def words_only(model: Any) -> None:
    """Generate as any language model does: Janus draws pictures too, by a method of its own."""
    from types import MethodType

    from transformers import GenerationMixin

    model.generate = MethodType(GenerationMixin.generate, model)


DEEPSEEK_VL = HuggingFacePlugin(
    card=ModelCard(
        name="deepseek-vl",
        title="DeepSeek-VL 7B chat",
        checkpoint="deepseek-community/deepseek-vl-7b-chat",
        licence="other (DeepSeek)",
        citation="Lu et al., DeepSeek-VL: Towards Real-World Vision-Language Understanding, 2024, arXiv 2403.05525",
        homepage="https://huggingface.co/deepseek-community/deepseek-vl-7b-chat",
        parameters=7_330_000_000,
        exposure="unknown",
    ),
    template_source=DEEPSEEK_SOURCE,
)
SMALL = HuggingFacePlugin(
    card=ModelCard(
        name="deepseek-vl-1.3b",
        title="DeepSeek-VL 1.3B chat",
        checkpoint="deepseek-community/deepseek-vl-1.3b-chat",
        licence="other (DeepSeek)",
        citation="Lu et al., DeepSeek-VL: Towards Real-World Vision-Language Understanding, 2024, arXiv 2403.05525",
        homepage="https://huggingface.co/deepseek-community/deepseek-vl-1.3b-chat",
        parameters=1_960_000_000,
        exposure="unknown",
    ),
    template_source=DEEPSEEK_SOURCE,
)
JANUS = HuggingFacePlugin(
    card=ModelCard(
        name="janus-pro",
        title="Janus-Pro 7B",
        checkpoint="deepseek-community/Janus-Pro-7B",
        licence="other (DeepSeek)",
        citation="Chen et al., Janus-Pro: Unified Multimodal Understanding and Generation, 2025, arXiv 2501.17811",
        homepage="https://huggingface.co/deepseek-community/Janus-Pro-7B",
        parameters=7_410_000_000,
        exposure="unknown",
    ),
    template_source=JANUS_SOURCE,
    adapt=words_only,
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the three."""
    register(DEEPSEEK_VL)
    register(SMALL)
    register(JANUS)
