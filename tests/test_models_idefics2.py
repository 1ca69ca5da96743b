"""Idefics2: positions by table, prompts and token ids of the reference, its tiny model through ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.types import FileImage, Prompt
from fgvr_models.finedefics import FINEDEFICS
from fgvr_models.idefics2 import IDEFICS2


def tower(side: int, dtype: str = "float32") -> Any:
    """Return patch embeddings as transformers makes them, for a grid of `side` positions a side."""
    import torch

    from fgvr_bench.engines import torchvision_ops

    torchvision_ops.ensure()
    from transformers.models.idefics2.configuration_idefics2 import Idefics2VisionConfig
    from transformers.models.idefics2.modeling_idefics2 import Idefics2VisionEmbeddings

    config = Idefics2VisionConfig(hidden_size=8, image_size=2 * side, patch_size=2, num_attention_heads=2)
    return Idefics2VisionEmbeddings(config).to(getattr(torch, dtype))


def square(size: int, most: int) -> Any:
    """Return the patch mask of an image of `size` × `size` patches in a batch padded to `most`."""
    import torch

    mask = torch.zeros(1, most, most, dtype=torch.bool)
    mask[:, :size, :size] = True
    return mask


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_positions_are_those_of_the_table_at_all_seventy_sizes(reference: Path, dtype: str) -> None:
    import torch

    from fgvr_models._idefics2_positions import TablePositions

    table = json.loads((reference / "stage1" / "position_buckets.json").read_text())["sides"]["70"]["fork"]
    positions = TablePositions(tower(70, dtype))
    for size in range(1, 71):
        buckets = torch.tensor(table[str(size)])
        expected = buckets[:, None] * 70 + buckets[None, :]
        found = positions.position_ids(square(size, 70)).reshape(70, 70)
        assert torch.equal(found[:size, :size], expected), size
        assert not found[size:].any()
        assert not found[:, size:].any()


def test_positions_differ_from_the_installed_version_where_its_rounding_does() -> None:
    import torch
    import transformers

    from fgvr_models._idefics2_positions import TablePositions

    stock, ours = tower(70), TablePositions(tower(70))
    ours.load_state_dict(stock.state_dict())
    differing = []
    with torch.no_grad():
        for size in range(1, 71):
            pixels, mask = torch.zeros(1, 3, 2 * size, 2 * size), square(size, size)
            if not torch.equal(stock(pixels, mask), ours(pixels, mask)):
                differing.append(size)
    if not transformers.__version__.startswith("5.23."):
        pytest.skip("which sizes differ is known for transformers 5.23")
    assert differing == [49, 58]


def test_an_image_of_unequal_sides_gets_rows_and_columns_of_their_own() -> None:
    import torch

    from fgvr_models._idefics2_positions import TablePositions, bucket_table

    mask = torch.zeros(2, 40, 30, dtype=torch.bool)
    mask[0, :25, :30] = True
    mask[1, :40, :7] = True
    found = TablePositions(tower(70)).position_ids(mask).reshape(2, 40, 30)
    table = bucket_table(70)
    assert found[0, 24, 29] == table[25, 24] * 70 + table[30, 29]
    assert found[1, 39, 6] == table[40, 39] * 70 + table[7, 6]
    assert found[1, 0, 7:].eq(0).all()


def test_other_grids_take_the_floor() -> None:
    from fgvr_models._idefics2_positions import bucket_table

    table = bucket_table(4).tolist()
    assert [row[:size] for size, row in enumerate(table)] == [[], [0], [0, 2], [0, 1, 2], [0, 1, 2, 3]]


def test_a_model_without_the_vision_tower_is_refused() -> None:
    from torch import nn

    from fgvr_models._idefics2_positions import use_table

    with pytest.raises(ValueError, match="no Idefics2 vision tower"):
        use_table(nn.Linear(2, 2))


@pytest.fixture(scope="module")
def checkpoint(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reference's tiny model beside its processor."""
    folder = tmp_path_factory.mktemp("stage1")
    for file in (reference / "stage1" / "model").iterdir():
        shutil.copyfile(file, folder / file.name)
    for file in (reference / "collate" / "processor").iterdir():
        if file.name != "config.json":
            shutil.copyfile(file, folder / file.name)
    return folder


def load(checkpoint: Path, decoding: str = "generate", dtype: str = "float64") -> Any:
    settings = ModelSettings(
        checkpoint=str(checkpoint), device="cpu", dtype=dtype, decoding=Decoding(decoding, max_new_tokens=4)
    )
    return IDEFICS2.load(settings)


@pytest.mark.parametrize("case", ["a_base", "b_no_negatives", "g_f_right_padded", "h_finetune"])
def test_the_reference_model_gives_its_own_logits(reference: Path, checkpoint: Path, case: str) -> None:
    import torch
    from safetensors.torch import load_file

    model = load(checkpoint, dtype="float32").model
    assert type(model.model.vision_model.embeddings).__name__ == "TablePositions"
    inputs = load_file(reference / "stage1" / "cases" / f"{case}.inputs.safetensors")
    outputs = load_file(reference / "stage1" / "cases" / f"{case}.outputs.safetensors")
    names = ("input_ids", "attention_mask", "pixel_values", "pixel_attention_mask")
    with torch.no_grad():
        found = model(**{name: inputs[name] for name in names})
    real = inputs["attention_mask"].bool()
    assert (found.logits - outputs["logits"])[real].abs().max() < 1e-4
    assert (found.image_hidden_states.flatten() - outputs["image_hidden_states"].flatten()).abs().max() < 2e-5


def golden_prompts(case: dict[str, Any]) -> list[Prompt]:
    prompts = []
    for number, mapping in enumerate(case["mappings"]):
        lines = "\n".join(f"{letter}. {label}" for letter, label in mapping.items())
        text = (
            f"Which of these birds is shown in the image?\nChoices:\n{lines}\n"
            "Answer with the letter from the given choices directly."
        )
        if "idefics" in case["model_name"]:
            text = IDEFICS2.card.foci_template.replace("{}", text)
        prompts.append(Prompt(f"q{number}", FileImage(""), text, tuple(mapping), tuple(mapping.values())))
    return prompts


def test_prompts_token_ids_and_pixels_are_the_reference_evaluations(reference: Path, checkpoint: Path) -> None:
    cases = json.loads((reference / "prompts" / "idefics2_eval_collate.json").read_text())
    preparer = load(checkpoint).preparer
    assert len(cases) == 4
    for case in cases:
        prompts = golden_prompts(case)
        assert [preparer.text(prompt) for prompt in prompts] == case["texts_given_to_processor"]
        images = [Image.open(reference / "collate" / "images" / name).convert("RGB") for name in case["image_files"]]
        batch = preparer.batch([preparer.item(*pair) for pair in zip(prompts, images, strict=True)])
        assert list(batch["pixel_values"].shape) == case["pixel_shape"]
        if case["padding_side"] == "left":
            assert batch["input_ids"].tolist() == case["input_ids"]
            assert batch["attention_mask"].tolist() == case["attention_mask"]
        else:
            for ours, theirs in zip(batch["input_ids"].tolist(), case["input_ids"], strict=True):
                assert [token for token in ours if token] == [token for token in theirs if token]


def test_a_tokenizer_that_writes_the_space_apart_ranks_the_letters_after_it(checkpoint: Path) -> None:
    model = load(checkpoint, "logprob")
    tokenizer = model.preparer.processor.tokenizer
    prompt = Prompt("q", FileImage(""), "Which?", ("A", "B"), ("crow", "tern"))
    item = model.preparer.item(prompt, Image.new("RGB", (40, 40)))
    assert tokenizer.convert_ids_to_tokens(item["answer_tokens"]) == ["<0x41>", "<0x42>"]
    assert tokenizer.convert_ids_to_tokens(item["input_ids"][0, -2:]) == ["<0x3A>", "▁"]
    assert item["input_ids"].shape == item["attention_mask"].shape


def test_finedefics_is_idefics2_with_other_weights(checkpoint: Path) -> None:
    settings = ModelSettings(checkpoint=str(checkpoint), device="cpu")
    assert FINEDEFICS.identify(settings) == IDEFICS2.identify(settings)
    assert FINEDEFICS.card.exposure == "tuned"
    assert FINEDEFICS.card.checkpoint == "StevenHH2000/Finedefics"
    assert IDEFICS2.identify(settings)["adaptation"] == "patch positions by table"


def test_images_are_not_split_unless_asked(checkpoint: Path) -> None:
    prompt = Prompt("q", FileImage(""), "Which?", ("A", "B"), ("crow", "tern"))
    image = Image.new("RGB", (50, 40))
    whole = load(checkpoint).preparer.item(prompt, image)
    settings = ModelSettings(checkpoint=str(checkpoint), device="cpu", args={"do_image_splitting": "yes"})
    split = IDEFICS2.load(settings).preparer.item(prompt, image)
    assert (whole["pixel_values"].shape[1], split["pixel_values"].shape[1]) == (1, 5)
