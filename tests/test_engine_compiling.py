"""Compiled blocks: one compiled form for all layers of a kind, and the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_families
import torch

from fgvr_bench.engines.huggingface.compiling import (
    compile_blocks,
    lone_feed_forwards,
    repeated_blocks,
    settle_compiler,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.idefics2(tmp_path_factory.mktemp("idefics2"))


def load(folder: Path) -> Any:
    from fgvr_bench.engines import torchvision_ops

    torchvision_ops.ensure()
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float64").eval().requires_grad_(False)


def inputs(model: Any, rows: int, length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows * 100 + length)
    tokens = model.config.perceiver_config.resampler_n_latents
    side = model.config.vision_config.image_size
    ids = torch.randint(5, 300, (rows, length + tokens), generator=generator)
    ids[:, 2 : 2 + tokens] = model.config.image_token_id
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.randn(rows, 1, 3, side, side, generator=generator, dtype=torch.float64),
        "pixel_attention_mask": torch.ones(rows, 1, side, side, dtype=torch.long),
    }


def test_blocks_are_found_by_what_they_are(folder: Path) -> None:
    model = load(folder)
    kinds = {type(block).__name__ for block in repeated_blocks(model)}
    assert kinds == {"Idefics2EncoderLayer", "Idefics2PerceiverLayer", "MistralDecoderLayer"}
    assert [type(part).__name__ for part in lone_feed_forwards(model)] == ["Idefics2MLP"]


def test_compiled_blocks_answer_alike_and_share_their_compiled_form(folder: Path) -> None:
    """Traced and run by the compiler's front end, as on a GPU; only its kernels are the ordinary ones here."""
    import torch._dynamo as tracing

    plain, model = load(folder), load(folder)
    tracing.reset()
    settle_compiler()
    assert compile_blocks(model, backend="eager") == len(list(repeated_blocks(plain))) + 1
    graphs = []
    with torch.inference_mode():
        for rows, length in ((3, 12), (2, 17), (5, 9)):
            given = inputs(plain, rows, length)
            expected = plain.generate(
                **given, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
            )
            found = model.generate(
                **given, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
            )
            assert torch.equal(found.sequences, expected.sequences)
            for ours, theirs in zip(found.logits, expected.logits, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
            graphs.append(tracing.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1] == graphs[2]  # other shapes, and other layers, need no form of their own
    assert graphs[0] < 25
