"""Features inside real architectures: of each picture alone, where the model itself has them, refused by name else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_families
import tiny_families_later

from fgvr_bench.core.host import Host
from fgvr_bench.engines.huggingface.features import END, SPACES, FeatureReader
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.types import FileImage, Prompt

BUILDERS = {**tiny_families.BUILDERS, **tiny_families_later.BUILDERS}
PLUGINS = {
    "aya_vision": "aya-vision",
    "deepseek_vl": "deepseek-vl-1.3b",
    "deepseek_vl_hybrid": "deepseek-vl",
    "gemma3": "gemma3",
    "glm4v": "glm-4.1v",
    "idefics2": "idefics2",
    "idefics3": "idefics3",
    "instructblip": "instructblip",
    "internvl": "internvl",
    "janus": "janus-pro",
    "llava": "llava",
    "llava_next": "llava-next",
    "llava_onevision": "llava-onevision",
    "mistral3": "mistral-small",
    "ovis2": "ovis2",
    "paligemma": "paligemma",
    "perception_lm": "perception-lm",
    "pixtral": "pixtral",
    "qwen2_vl": "qwen2-vl",
    "qwen2_5_vl": "qwen2.5-vl",
    "qwen3_vl": "qwen3-vl",
    "qwen3_vl_moe": "qwen3-vl-moe",
    "smolvlm": "smolvlm",
}
WITHOUT = {"fuyu": "fuyu", "idefics": "idefics", "mllama": "llama-vision", "phi4_multimodal": "phi4-multimodal"}


def load(family: str, name: str, folder: Path) -> Any:
    host = Host()
    host.load_entry_points()
    plugin, _ = host.models.find(name)
    checkpoint = BUILDERS[family](folder / family)
    decoding = Decoding("generate", 1)
    return plugin.load(ModelSettings(checkpoint=str(checkpoint), device="cpu", dtype="float64", decoding=decoding))


def items(model: Any, pictures: list[Any], question: str = "Which is it?") -> list[Any]:
    return [
        model.preparer.item(Prompt(f"a/b/{number}", FileImage(f"unused-{number}"), question, (), ()), picture)
        for number, picture in enumerate(pictures)
    ]


@pytest.mark.parametrize("family", sorted(PLUGINS))
def test_features_of_a_picture_do_not_depend_on_its_neighbours(family: str, tmp_path: Path) -> None:
    model = load(family, PLUGINS[family], tmp_path)
    reader = FeatureReader(model, family, tuple(SPACES))
    drawn = tiny.pictures(4)
    # three of one shape, which are encoded together, among others
    asked = items(model, [drawn[0], drawn[1], drawn[2].resize(drawn[0].size), drawn[3].resize(drawn[0].size), drawn[3]])
    together = reader.read(asked)
    assert tuple(together) == reader.spaces == ("encoder", "connector", "language-mean", "language-last", END)
    for number, item in enumerate(asked):
        for space, alone in reader.read([item]).items():
            assert together[space].dtype == np.float64
            np.testing.assert_allclose(together[space][number], alone[0], rtol=1e-9, atol=1e-11, err_msg=space)
    for space, rows in together.items():
        assert np.isfinite(rows).all()
        assert len(np.unique(rows.round(9), axis=0)) == len(rows), f"{space} tells pictures apart"


@pytest.mark.parametrize("family", sorted(WITHOUT))
def test_a_family_without_such_places_is_refused_by_name(family: str, tmp_path: Path) -> None:
    model = load(family, WITHOUT[family], tmp_path)
    with pytest.raises(UsageError, match=rf"{family} \({type(model.model).__name__}\): no features can be had"):
        FeatureReader(model, family, ("encoder",)).read(items(model, tiny.pictures(1)))


def test_an_encoder_and_decoder_in_one_has_eyes_but_no_states_of_the_picture(tmp_path: Path) -> None:
    model = load("blip2", "blip2", tmp_path)
    with pytest.raises(UsageError, match="layer language cannot be had"):
        FeatureReader(model, "blip2", ("encoder", "language"))
    found = FeatureReader(model, "blip2", ("encoder", "connector")).read(items(model, tiny.pictures(2)))
    assert {space: rows.shape for space, rows in found.items()} == {"encoder": (2, 24), "connector": (2, 32)}


def test_they_are_what_the_model_itself_computes(tmp_path: Path) -> None:
    import torch

    model = load("llava", "llava", tmp_path)
    reader = FeatureReader(model, "llava", tuple(SPACES))
    (item,) = items(model, tiny.pictures(1))
    found = reader.read([item])
    inputs = {key: value for key, value in item.items() if key != "picture"}
    with torch.inference_mode():
        whole = model.model(**inputs, output_hidden_states=True)
        seen = model.model.get_image_features(pixel_values=inputs["pixel_values"])
    at = inputs["input_ids"][0] == model.model.config.image_token_id
    states = whole.hidden_states[-1][0][at]
    np.testing.assert_allclose(found["language-mean"][0], states.mean(dim=0), rtol=1e-9)
    np.testing.assert_allclose(found["language-last"][0], states[-1], rtol=1e-9)
    np.testing.assert_allclose(found["encoder"][0], seen.last_hidden_state[0].mean(dim=0), rtol=1e-9)
    np.testing.assert_allclose(found["connector"][0], seen.pooler_output[0].mean(dim=0), rtol=1e-9)


def test_pictures_and_texts_are_embedded_as_stage_one_does(tmp_path: Path) -> None:
    import torch

    model = load("idefics2", "idefics2", tmp_path)
    reader = FeatureReader(model, "idefics2", ("language",))
    (item,) = items(model, tiny.pictures(1))
    inner, tokenizer = model.model.model, model.preparer.processor.tokenizer
    end = model.model.config.text_config.eos_token_id
    embed = inner.get_input_embeddings()
    with torch.inference_mode():
        seen = inner.get_image_features(item["pixel_values"], item["pixel_attention_mask"]).pooler_output
        values = torch.cat([torch.cat(tuple(seen)).reshape(1, -1, 32), embed(torch.tensor([[end]]))], dim=1)
        picture = inner.text_model(inputs_embeds=values).last_hidden_state[0, -1]
        ids = torch.tensor([[*tokenizer("rose").input_ids, end]])
        text = inner.text_model(input_ids=ids).last_hidden_state[0, -1]
    np.testing.assert_allclose(reader.read([item])[END][0], picture, rtol=1e-9)
    np.testing.assert_allclose(reader.read_texts(["mexican petunia", "rose"])[1], text, rtol=1e-9)


def test_what_is_asked_behind_a_picture_does_not_change_it(tmp_path: Path) -> None:
    model = load("llava", "llava", tmp_path)
    reader = FeatureReader(model, "llava", ("language",))
    one, other = (reader.read(items(model, tiny.pictures(2), words)) for words in ("Which is it?", "No."))
    for space, rows in one.items():
        np.testing.assert_allclose(rows, other[space], rtol=1e-9)
