"""GLM-4.1V-Thinking (GLM-V team 2025, arXiv 2507.01006), which reasons in words before it answers."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

GLM4V = HuggingFacePlugin(
    card=ModelCard(
        name="glm-4.1v",
        title="GLM-4.1V 9B Thinking",
        checkpoint="zai-org/GLM-4.1V-9B-Thinking",
        licence="MIT",
        citation="GLM-V team, GLM-4.1V-Thinking and GLM-4.5V, 2025, arXiv 2507.01006",
        homepage="https://huggingface.co/zai-org/GLM-4.1V-9B-Thinking",
        parameters=10_290_000_000,
        exposure="unknown",
        aliases=("glm4v",),
    ),
    template_source="https://github.com/modelscope/ms-swift/blob/v3.7.0/swift/llm/template/template/glm.py",
    image_settings={"size": None},
    end_tokens=("<|user|>",),
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(GLM4V)
