"""From a prompt and a picture to the model's inputs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
from PIL import Image

from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.engines.huggingface.preparing import on_device
from fgvr_bench.errors import OutOfMemory
from fgvr_bench.interfaces import Decoding, ModelCard, ModelSettings
from fgvr_bench.types import FileImage, Prompt

PLUGIN = HuggingFacePlugin(ModelCard("tiny", "Tiny"))
FOCI_LLAVA = "USER: <image>\n{}\nASSISTANT:"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_families.llava(tmp_path_factory.mktemp("llava"))
    return PLUGIN.load(ModelSettings(checkpoint=str(folder), device="cpu", decoding=Decoding("logprob")))


@pytest.fixture(scope="module")
def splitting(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_families.idefics2(tmp_path_factory.mktemp("idefics2"))
    return PLUGIN.load(ModelSettings(checkpoint=str(folder), device="cpu", decoding=Decoding("logprob")))


def prompt(text: str, *choices: str) -> Prompt:
    return Prompt("q", FileImage(""), text, ("A", "B"), choices or ("crow", "tern"))


def test_a_whole_prompt_of_protocol_foci_gets_no_second_template(model: Any) -> None:
    whole = FOCI_LLAVA.replace("{}", "Which?")
    assert model.preparer.text(prompt(whole)) == whole
    assert model.preparer.text(prompt("Which?")) == "USER: <image>\nWhich? ASSISTANT:"


def test_a_label_that_spells_the_placeholder_makes_no_whole_prompt(model: Any) -> None:
    asked = prompt("Which?\nA. <image>\nB. tern", "<image>", "tern")
    assert model.preparer.text(asked).startswith("USER: <image>\nWhich?")


def test_braces_in_a_label_are_only_braces(model: Any) -> None:
    from fgvr_bench.engines.huggingface.templates import Template

    assert Template("Q: {} A:", chat=False).render(None, "{a} {}") == "Q: {a} {} A:"
    assert "{{ x }}" in model.preparer.text(prompt("{{ x }}"))


def test_a_prompt_longer_than_the_model_takes_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="the model takes 2048"):
        model.preparer.item(prompt("Which? " * 2000), Image.new("RGB", (40, 40)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3000, 2)])
def test_tiny_and_narrow_pictures_are_answered_or_refused_by_the_processor(
    model: Any, splitting: Any, size: tuple[int, int]
) -> None:
    for each in (model, splitting):
        try:
            item = each.preparer.item(prompt("Which?"), Image.new("RGB", size, (200, 10, 10)))
        except ValueError:
            continue
        assert len(each.respond([prompt("Which?")], each.preparer.batch([item]))[0].scores) == 2


def test_pixels_travel_in_the_models_precision(tmp_path: Path) -> None:
    import torch

    folder = tiny_families.idefics2(tmp_path)
    for dtype in ("bfloat16", "float32"):
        loaded = PLUGIN.load(ModelSettings(checkpoint=str(folder), device="cpu", dtype=dtype))
        batch = loaded.preparer.batch(
            [loaded.preparer.item(*pair) for pair in zip(tiny.prompts(2), tiny.pictures(2), strict=True)]
        )
        assert batch["pixel_values"].dtype == getattr(torch, dtype)
        assert len(loaded.respond(tiny.prompts(2), batch)) == 2


def test_a_mask_over_pixels_travels_in_bytes_and_reaches_the_model_as_the_processor_made_it(splitting: Any) -> None:
    import torch

    pictures = [Image.new("RGB", size, (200, 10, 10)) for size in ((40, 30), (20, 50))]
    batch = splitting.preparer.batch([splitting.preparer.item(prompt("Which?"), picture) for picture in pictures])
    assert batch["pixel_attention_mask"].dtype == torch.uint8
    assert batch["attention_mask"].dtype == torch.int64
    text = [splitting.preparer.text(prompt("Which?"))] * 2
    whole = splitting.preparer.processor(
        text=text, images=[[picture] for picture in pictures], padding=True, return_tensors="pt"
    )
    for key in ("pixel_attention_mask", "attention_mask"):
        assert torch.equal(on_device(batch, "cpu")[key], whole[key])


def test_a_preparer_can_be_read_where_nothing_was_imported_yet(model: Any, tmp_path: Path) -> None:
    (tmp_path / "preparer").write_bytes(pickle.dumps(model.preparer))
    code = (
        "import pickle, sys; from PIL import Image; from fgvr_bench.types import FileImage, Prompt; "
        f"preparer = pickle.load(open({str(tmp_path / 'preparer')!r}, 'rb')); "
        "prompt = Prompt('q', FileImage(''), 'Which?', ('A', 'B'), ('crow', 'tern')); "
        "print(preparer.item(prompt, Image.new('RGB', (40, 40)))['input_ids'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    here = model.preparer.item(prompt("Which?"), Image.new("RGB", (40, 40)))["input_ids"].tolist()
    assert done.stdout.strip() == str(here)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", OutOfMemory),
        ("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory", OutOfMemory),
        ("shapes do not match", RuntimeError),
    ],
)
def test_out_of_memory_is_told_apart_from_other_failures(model: Any, message: str, kind: type[Exception]) -> None:
    prompts = tiny.prompts(1)
    batch = model.preparer.batch([model.preparer.item(prompts[0], tiny.pictures(1)[0])])

    def fail(module: Any, args: Any) -> None:
        raise RuntimeError(message)

    hook = model.model.register_forward_pre_hook(fail)
    try:
        with pytest.raises(kind) as caught:
            model.respond(prompts, batch)
    finally:
        hook.remove()
    assert type(caught.value) is kind
    assert model.respond(prompts, batch)[0].scores


def test_weights_can_be_spread_by_accelerate(tmp_path: Path) -> None:
    folder = tiny_families.llava(tmp_path)
    loaded = [
        PLUGIN.load(ModelSettings(checkpoint=str(folder), device="cpu", decoding=Decoding("logprob"), args=args))
        for args in ({}, {"spread": "yes"})
    ]
    prompts, images = tiny.prompts(2), tiny.pictures(2)
    batch = [
        each.preparer.batch([each.preparer.item(*pair) for pair in zip(prompts, images, strict=True)])
        for each in loaded
    ]
    assert loaded[0].respond(prompts, batch[0]) == loaded[1].respond(prompts, batch[1])


def test_closing_lets_go_of_the_weights(tmp_path: Path) -> None:
    import gc
    import weakref

    loaded = PLUGIN.load(ModelSettings(checkpoint=str(tiny_families.llava(tmp_path)), device="cpu"))
    weights = weakref.ref(loaded.model)
    loaded.close()
    gc.collect()
    assert weights() is None
