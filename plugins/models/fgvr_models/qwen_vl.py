"""Qwen2-VL (arXiv 2409.12191), Qwen2.5-VL (arXiv 2502.13923) and Qwen3-VL (arXiv 2511.21631)."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

QWEN2_VL = HuggingFacePlugin(
    card=ModelCard(
        name="qwen2-vl",
        title="Qwen2-VL 7B",
        checkpoint="Qwen/Qwen2-VL-7B-Instruct",
        licence="Apache-2.0",
        citation="Wang et al., Qwen2-VL, 2024, arXiv 2409.12191",
        homepage="https://huggingface.co/Qwen/Qwen2-VL-7B-Instruct",
        parameters=8_290_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/0161d48bc37499b7cde929f93a61cf75667287f3/"
    "docs/source/en/model_doc/qwen2_vl.md",
    image_settings={"min_pixels": None, "max_pixels": None},
)
QWEN2_5_VL = HuggingFacePlugin(
    card=ModelCard(
        name="qwen2.5-vl",
        title="Qwen2.5-VL 7B",
        checkpoint="Qwen/Qwen2.5-VL-7B-Instruct",
        licence="Apache-2.0",
        citation="Bai et al., Qwen2.5-VL Technical Report, 2025, arXiv 2502.13923",
        homepage="https://huggingface.co/Qwen/Qwen2.5-VL-7B-Instruct",
        parameters=8_290_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/8adb89369451236ed02d3fb43f3c17f3e9d94aae/"
    "tests/models/qwen2_5_vl/test_modeling_qwen2_5_vl.py",
    image_settings={"min_pixels": None, "max_pixels": None},
)
QWEN3_VL = HuggingFacePlugin(
    card=ModelCard(
        name="qwen3-vl",
        title="Qwen3-VL 8B",
        checkpoint="Qwen/Qwen3-VL-8B-Instruct",
        licence="Apache-2.0",
        citation="Qwen team, Qwen3-VL Technical Report, 2025, arXiv 2511.21631",
        homepage="https://huggingface.co/Qwen/Qwen3-VL-8B-Instruct",
        parameters=8_770_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/1b98c6419afe9d495a6f73c41f7b8cc8954818a2/"
    "tests/models/qwen3_vl_moe/test_modeling_qwen3_vl_moe.py",
    image_settings={"min_pixels": None, "max_pixels": None},
)
QWEN3_VL_MOE = HuggingFacePlugin(
    card=ModelCard(
        name="qwen3-vl-moe",
        title="Qwen3-VL 30B-A3B",
        checkpoint="Qwen/Qwen3-VL-30B-A3B-Instruct",
        licence="Apache-2.0",
        citation="Qwen team, Qwen3-VL Technical Report, 2025, arXiv 2511.21631",
        homepage="https://huggingface.co/Qwen/Qwen3-VL-30B-A3B-Instruct",
        parameters=31_070_000_000,
        exposure="unknown",
    ),
    template_source="https://github.com/huggingface/transformers/blob/1b98c6419afe9d495a6f73c41f7b8cc8954818a2/"
    "tests/models/qwen3_vl_moe/test_modeling_qwen3_vl_moe.py",
    image_settings={"min_pixels": None, "max_pixels": None},
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the four."""
    register(QWEN2_VL)
    register(QWEN2_5_VL)
    register(QWEN3_VL)
    register(QWEN3_VL_MOE)
