"""The published code's numbers at a call, against an oracle that is written from their description alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import finedefics
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from fgvr_bench.errors import UsageError

WORDS, BEGIN, END, IMAGE = 60, 1, 2, 3
"""The oracle's own model: ids below `WORDS`, padding 0."""

Batch = dict[str, Tensor]


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest) -> Any:
    """Return a tiny random Idefics2 of two layers each, whose weights are the same for both kinds of attention."""
    from fgvr_bench.engines import torchvision_ops

    torchvision_ops.ensure()
    from transformers import Idefics2Config, Idefics2ForConditionalGeneration

    text = {"model_type": "mistral", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": WORDS}
    text |= {"pad_token_id": 0, "bos_token_id": BEGIN, "eos_token_id": END, "rms_norm_eps": 1e-5}
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    perceiver = {"resampler_n_latents": 3, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 8}
    perceiver |= {"num_key_value_heads": 1, "hidden_size": 16, "rms_norm_eps": 1e-5}
    config = Idefics2Config(
        text_config=text,
        vision_config=vision,
        perceiver_config=perceiver,
        image_token_id=IMAGE,
        tie_word_embeddings=False,
    )
    config._attn_implementation = request.param
    made = Idefics2ForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3, generator=generator)
    return made.train()


def texts(generator: torch.Generator, count: int, longest: int, side: str) -> Tensor:
    ids = torch.zeros(count, longest, dtype=torch.long)
    for row in range(count):
        length = int(torch.randint(3, longest + 1, (), generator=generator)) if row else longest
        place = slice(0, length) if side == "right" else slice(longest - length, longest)
        ids[row, place] = torch.randint(4, WORDS, (length,), generator=generator)
        ids[row, place.start], ids[row, place.stop - 1] = BEGIN, END
    return ids


def drawn(
    seed: int,
    images: tuple[int, ...] = (1, 1, 1),
    described: int = 3,
    named: int = 3,
    negatives: tuple[int, int] = (4, 5),
    side: str = "right",
    text_side: str = "right",
) -> Batch:
    """Return a batch: images a row (padded with black ones), texts of each group, on which sides they are padded."""
    generator = torch.Generator().manual_seed(seed)
    rows, width = len(images), 8 + 3 * max(images)
    ids, mask = torch.zeros(rows, width, dtype=torch.long), torch.zeros(rows, width, dtype=torch.long)
    pixels = torch.randn(rows, max(images), 3, 28, 28, generator=generator)
    seen = torch.ones(rows, max(images), 28, 28, dtype=torch.bool)
    for row, shown in enumerate(images):
        length = width - int(torch.randint(0, 3, (), generator=generator)) * (row > 0)
        place = slice(0, length) if side == "right" else slice(width - length, width)
        words = torch.randint(4, WORDS, (length,), generator=generator)
        words[0], words[1 : 1 + 3 * shown] = BEGIN, IMAGE
        ids[row, place], mask[row, place] = words, 1
        pixels[row, shown:], seen[row, shown:] = 0.0, False
    pixels[0, 0, :, 14:], seen[0, 0, 14:] = 0.0, False  # an image of half the height
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, ids, IMAGE)}
    batch |= {"pixel_values": pixels, "pixel_attention_mask": seen}
    groups = {"att": (described, 7), "cat": (named, 5), "neg_att": (negatives[0], 8), "neg_cat": (negatives[1], 5)}
    for name, (count, longest) in groups.items():
        if count:
            batch[f"{name}_tokens"] = texts(generator, count, longest, text_side)
    return batch


def by_words(model: Any, batch: Batch, ia_temp: nn.Parameter, ac_temp: nn.Parameter) -> dict[str, Tensor]:
    """The published losses, written from the reference's description: whole logits, one image at a time."""
    decoder, table = model.model.text_model, model.get_input_embeddings()

    def unit(rows: Tensor) -> Tensor:
        return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def read(ids: Tensor) -> Tensor:
        states = decoder(inputs_embeds=table(ids), use_cache=False).last_hidden_state
        return unit(states[torch.arange(len(ids)), torch.where(ids == END)[1]])

    def diagonal(scores: Tensor) -> Tensor:
        wanted = torch.zeros_like(scores)
        for place in range(min(scores.shape)):
            wanted[place, place] = 1.0
        return -(wanted * scores.log_softmax(dim=1)).sum() / scores.shape[0]

    asked = {name: value for name, value in batch.items() if not name.endswith("_tokens") and name != "labels"}
    real = batch["attention_mask"][:, 1:] == 1
    losses = {"loss_gen": functional.cross_entropy(model(**asked).logits[:, :-1][real], batch["labels"][:, 1:][real])}
    with torch.no_grad():
        ia_temp.clamp_(0.001, 0.5)
        ac_temp.clamp_(0.001, 0.5)
    found = model.get_image_features(batch["pixel_values"], batch["pixel_attention_mask"], return_dict=True)
    joined = found.pooler_output if isinstance(found.pooler_output, Tensor) else torch.cat(list(found.pooler_output))
    ended = [torch.cat([shown, table(torch.tensor([END]))])[None] for shown in joined.reshape(-1, 3, 16)]
    states = [decoder(inputs_embeds=each, use_cache=False).last_hidden_state[0, -1] for each in ended]
    image, described, named = unit(torch.stack(states)), read(batch["att_tokens"]), read(batch["cat_tokens"])
    more = {name: [read(batch[name])] if name in batch else [] for name in ("neg_att_tokens", "neg_cat_tokens")}
    all_described = torch.cat([described, *more["neg_att_tokens"]])
    all_named = torch.cat([named, *more["neg_cat_tokens"]])
    losses["loss_i2t"] = diagonal(image @ all_described.T / ia_temp)
    losses["loss_t2i"] = diagonal(described @ image.T / ia_temp)
    losses["loss_a2c"] = diagonal(described @ all_named.T / ac_temp)
    losses["loss_c2a"] = diagonal(named @ all_described.T / ac_temp)
    losses["loss_ccc"] = functional.cross_entropy(named @ all_named.T / ia_temp, torch.zeros(len(named)).long())
    losses["loss_ia"] = (losses["loss_i2t"] + losses["loss_t2i"]) / 2
    losses["loss_ac"] = (losses["loss_a2c"] + losses["loss_c2a"]) / 2
    halves = losses["loss_ia"] + losses["loss_ac"] + losses["loss_ccc"]
    losses["loss"] = losses["loss_gen"] + 0.5 * halves
    return losses


def with_gradients(call: Any, model: Any, temperatures: tuple[float, float]) -> tuple[dict[str, float], Batch]:
    """Return losses, and the gradients of every parameter and of both temperatures, with their values after."""
    ia_temp, ac_temp = (nn.Parameter(torch.tensor(value)) for value in temperatures)
    model.zero_grad(set_to_none=True)
    losses = call(ia_temp, ac_temp)
    losses["loss"].backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    for name, value in (("ia_temp", ia_temp), ("ac_temp", ac_temp)):
        assert value.grad is not None
        gradients |= {f"{name}.grad": value.grad, name: value.detach()}
    return {name: float(value.detach()) for name, value in losses.items() if value is not None}, gradients


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no negatives": {"negatives": (0, 0)},
    "negative descriptions only": {"negatives": (3, 0)},
    "negative names only": {"negatives": (0, 2)},
    "one row": {"images": (1,), "described": 1, "named": 1},
    "one row alone": {"images": (1,), "described": 1, "named": 1, "negatives": (0, 0)},
    "more images than rows": {"images": (2, 1, 1)},
    "more images than columns": {"images": (2, 2, 2), "negatives": (1, 0)},
    "rows without descriptions": {"described": 1},
    "fewer names than descriptions": {"named": 2, "images": (1, 2, 1)},
    "questions padded on the left": {"side": "left"},
    "everything padded on the left": {"side": "left", "text_side": "left", "images": (2, 1, 1)},
    "five rows": {"images": (1, 1, 1, 1, 1), "described": 5, "named": 5, "negatives": (15, 11), "side": "left"},
}
TEMPERATURES = [(0.07, 0.07), (0.9, 0.03), (1e-5, 0.2)]


@pytest.mark.parametrize("packed", [False, True], ids=["straightforward", "packed"])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_that_the_description_gives(model: Any, case: str, packed: bool) -> None:
    number = list(CASES).index(case)
    batch, temperatures = drawn(number, **CASES[case]), TEMPERATURES[number % 3]
    repeated = {"cat_tokens", "neg_cat_tokens"} <= batch.keys() and len(batch["cat_tokens"]) > 1
    if repeated:  # equal categories are negatives of one another all the same
        batch["cat_tokens"][1] = batch["neg_cat_tokens"][0] = batch["cat_tokens"][0]
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    expected, gradients = with_gradients(lambda ia, ac: by_words(model, batch, ia, ac), model, temperatures)
    model.set_attn_implementation(before)
    losses, ours = with_gradients(
        lambda ia, ac: finedefics.released_losses(model, ia_temp=ia, ac_temp=ac, packed=packed, **batch),
        model,
        temperatures,
    )
    assert losses == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert ours.keys() == gradients.keys()
    largest = max(float(gradient.norm()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        apart = float((ours[name] - gradient).norm())
        assert apart <= 1e-4 * float(gradient.norm()) + 1e-5 * largest, name


def test_labels_that_are_to_be_ignored_are_no_part_of_the_mean(model: Any) -> None:
    batch = drawn(1)
    batch["labels"][:, :5] = -100
    ours = finedefics.released_losses(model, training_stage="finetune", **batch)
    asked = {name: value for name, value in batch.items() if not name.endswith("_tokens") and name != "labels"}
    real = batch["attention_mask"][:, 1:] == 1
    expected = functional.cross_entropy(model(**asked).logits[:, :-1][real], batch["labels"][:, 1:][real])
    assert float(ours["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert [name for name, value in ours.items() if value is not None] == ["loss_gen", "loss"]
    with pytest.raises(UsageError, match="not one of pretrain, finetune"):
        finedefics.released_losses(model, training_stage="align", **batch)


def test_a_folder_and_the_published_inputs_give_the_published_losses(reference: Path) -> None:
    folder = reference / "stage1"
    loaded = finedefics.load_released(folder / "model")
    for name, case in json.loads((folder / "cases.json").read_text()).items():
        losses = finedefics.released_losses(
            loaded,
            training_stage=case["training_stage"],
            **case["temperatures_before"],
            **load_file(folder / "cases" / f"{name}.inputs.safetensors"),
        )
        assert {name: value if value is None else float(value.detach()) for name, value in losses.items()} == {
            name: value if value is None else pytest.approx(value, rel=1e-5) for name, value in case["losses"].items()
        }
    batch = finedefics.released_batch(
        reference / "collate" / "8_attributes_in_some_rows.csv",
        reference / "collate" / "processor",
        images_root=reference / "collate" / "images",
        padding_side="left",
    )
    expected = json.loads((reference / "collate" / "collate.json").read_text())["loss_of_stage1_model"]
    loss = finedefics.released_losses(loaded, **batch)["loss"]
    assert float(loss.detach()) == pytest.approx(expected["8_attributes_in_some_rows.left|pretrain"], rel=1e-5)
