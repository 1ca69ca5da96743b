"""IDEFICS (Laurençon et al. 2023, arXiv 2306.16527): the open reproduction of Flamingo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

if TYPE_CHECKING:
    from PIL.Image import Image


def interleaved(processor: Any, text: str, image: Image) -> dict[str, Any]:
    """Call the processor with the image between the words where its placeholder stands."""
    before, _, after = text.partition("<image>")
    return dict(processor(text=[[before, image, after]], return_tensors="pt", add_end_of_utterance_token=False))


IDEFICS = HuggingFacePlugin(
    card=ModelCard(
        name="idefics",
        title="IDEFICS 9B Instruct",
        checkpoint="HuggingFaceM4/idefics-9b-instruct",
        licence="other (LLaMA)",
        citation="Laurençon et al., OBELICS: An Open Web-Scale Filtered Dataset of Interleaved Image-Text Documents, "
        "NeurIPS 2023, arXiv 2306.16527",
        homepage="https://huggingface.co/HuggingFaceM4/idefics-9b-instruct",
        parameters=8_900_000_000,
        exposure="zero-shot",
        foci_template="User: {}",
        aliases=("idefics-9b",),
    ),
    template_source="https://github.com/huggingface/transformers/blob/0b3473ad40157ff6c3c08c47b32e5ac283db6f5d/"
    "docs/source/en/tasks/idefics.md",
    template="User:<image>{}<end_of_utterance>\nAssistant:",
    end_tokens=("<end_of_utterance>",),
    process=interleaved,
    words_alone=False,
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(IDEFICS)
