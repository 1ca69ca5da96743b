"""Fuyu (Bavishi et al. 2023): patches of an image go straight into the decoder, there is no vision tower."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin, Template
from fgvr_bench.interfaces import ModelCard, ModelPlugin

if TYPE_CHECKING:
    from PIL.Image import Image


def pixels(processor: Any, text: str, image: Image) -> dict[str, Any]:
    """Call the processor, which puts image, beginning and answer tokens in itself."""
    called = processor(
        text=[text], images=[image], return_tensors="pt", add_special_tokens=False, return_legacy_image_output=False
    )
    return dict(called)


FUYU = HuggingFacePlugin(
    card=ModelCard(
        name="fuyu",
        title="Fuyu 8B",
        checkpoint="adept/fuyu-8b",
        licence="CC-BY-NC-4.0",
        citation="Bavishi et al., Fuyu-8B: A Multimodal Architecture for AI Agents, 2023",
        homepage="https://huggingface.co/adept/fuyu-8b",
        parameters=9_410_000_000,
        exposure="unknown",
        aliases=("fuyu-8b",),
    ),
    template=Template("{}\n", before_answer=" "),  # the makers' answers begin with a space
    template_source="https://github.com/huggingface/transformers/blob/d76a498c6ecd9a36a6040bb909ea2871790cb787/"
    "tests/models/fuyu/test_modeling_fuyu.py",
    image_settings={"size": None},
    end_tokens=("|ENDOFTEXT|",),
    process=pixels,
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(FUYU)
