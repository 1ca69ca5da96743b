"""InternVL3 (Zhu et al. 2025, arXiv 2504.10479), in the layout that transformers loads."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

INTERNVL = HuggingFacePlugin(
    card=ModelCard(
        name="internvl",
        title="InternVL3 8B",
        checkpoint="OpenGVLab/InternVL3-8B-hf",
        licence="MIT, language model Apache-2.0",
        citation="Zhu et al., InternVL3, 2025, arXiv 2504.10479",
        homepage="https://huggingface.co/OpenGVLab/InternVL3-8B-hf",
        parameters=7_940_000_000,
        exposure="unknown",
        aliases=("internvl3",),
    ),
    template_source="https://github.com/huggingface/transformers/blob/00dcc6dda6f6d8e69541a6b51f97986a80242367/"
    "tests/models/internvl/test_modeling_internvl.py",
    image_settings={"max_patches": None},
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the family."""
    register(INTERNVL)
