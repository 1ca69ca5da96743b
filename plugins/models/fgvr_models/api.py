"""``api:MODEL@URL``: models behind any OpenAI-compatible server (vLLM, SGLang, llama.cpp, transformers, hosted)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.openai_api import OpenAIPlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

API = OpenAIPlugin(
    card=ModelCard(
        name="api:",
        title="Any OpenAI-compatible server: api:MODEL@URL",
        licence="the model's own",
        homepage="https://platform.openai.com/docs/api-reference/chat",
    )
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the scheme."""
    register(API)
