"""Where weights lie and in how many bits: main memory, disk, several GPUs, quantized layers, adapters."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import tiny_families_later

from fgvr_bench.core.host import Host
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.engines.huggingface.placing import memory_limits
from fgvr_bench.errors import ModelUnavailable, UsageError
from fgvr_bench.interfaces import Decoding, ModelCard, ModelSettings
from fgvr_models.phi4 import PHI4

PLUGIN = HuggingFacePlugin(ModelCard("tiny", "Tiny"))


def settings(folder: Path, decoding: str = "logprob", dtype: str = "float64", **args: str) -> ModelSettings:
    return ModelSettings(
        checkpoint=str(folder), device="cpu", dtype=dtype, decoding=Decoding(decoding, max_new_tokens=4), args=args
    )


def answers(model: Any, size: int = 3, count: int = 3) -> list[Any]:
    prompts, images = tiny.prompts(count), tiny.pictures(count)
    items = [model.preparer.item(*pair) for pair in zip(prompts, images, strict=True)]
    found: list[Any] = []
    for start in range(0, count, size):
        found += model.respond(prompts[start : start + size], model.preparer.batch(items[start : start + size]))
    return found


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.llava(tmp_path_factory.mktemp("llava"))


# --- main memory and disk ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("llava", "cpu:200KB"),
        ("llava", "cpu:1KB"),
        ("idefics2", "cpu:1KB"),
        ("mllama", "cpu:1KB"),
        ("phi4_multimodal", "cpu:200KB"),
    ],
)
def test_weights_left_on_disk_give_the_same_answers(name: str, limit: str, tmp_path: Path) -> None:
    builders = {**tiny_families.BUILDERS, **tiny_families_later.BUILDERS}
    host = Host()
    host.load_entry_points()
    named = {"mllama": "llama-vision", "phi4_multimodal": "phi4-multimodal"}
    plugin, folder = host.models[named.get(name, name)], builders[name](tmp_path)
    for decoding in ("logprob", "generate"):
        whole, spread = (plugin.load(settings(folder, decoding, **args)) for args in ({}, {"max_memory": limit}))
        assert any(weight.is_meta for weight in spread.model.parameters()), "nothing was left on disk"
        assert spread.model.device.type == "cpu", "inputs would go where there are no values"
        assert answers(spread) == answers(whole)


def test_weights_that_are_made_while_loading_need_a_folder(tmp_path: Path) -> None:
    folder = tiny_families_later.qwen3_vl_moe(tmp_path / "moe")  # its experts are joined into one tensor
    with pytest.raises(ModelUnavailable, match="--model-arg offload=FOLDER"):
        PLUGIN.load(settings(folder, max_memory="cpu:200KB"))
    spread = PLUGIN.load(settings(folder, max_memory="cpu:200KB", offload=str(tmp_path / "disk")))
    assert any((tmp_path / "disk").iterdir())
    assert answers(spread) == answers(PLUGIN.load(settings(folder)))


def test_how_weights_are_spread_is_no_part_of_the_identity(llava: Path) -> None:
    plain = PLUGIN.identify(settings(llava))
    assert PLUGIN.identify(settings(llava, spread="yes", max_memory="cpu:1GB", offload="anywhere")) == plain


@pytest.mark.parametrize("text", ["20GiB", "0:20", "gpu:20GiB", "0:20GiB;cpu:1GB", "", "0:-1GB", "1.5:2GB"])
def test_memory_that_is_not_written_as_it_should_be_is_refused(llava: Path, text: str) -> None:
    with pytest.raises(UsageError, match="write it as 0:20GiB,1:20GiB,cpu:100GiB"):
        PLUGIN.identify(settings(llava, max_memory=text))


def test_memory_is_read_for_each_place() -> None:
    assert memory_limits("0:20GiB, 1:0.5TiB,cpu:100MB") == {0: "20GiB", 1: "0.5TiB", "cpu": "100MB"}


@pytest.mark.parametrize(
    ("args", "device", "words"),
    [
        ({"spread": "no", "max_memory": "cpu:1GB"}, "cpu", "spread=no says not to"),
        ({"spread": "no", "offload": "somewhere"}, "cpu", "spread=no says not to"),
        ({"spread": "yes"}, "cuda:1", "names one"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(
    llava: Path, args: dict[str, str], device: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        PLUGIN.identify(ModelSettings(checkpoint=str(llava), device=device, args=args))


def test_a_gpu_that_is_not_there_is_named(llava: Path) -> None:
    with pytest.raises(UsageError, match="max_memory names GPU 7"):
        PLUGIN.load(settings(llava, max_memory="7:20GiB"))


# --- four and eight bits ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint whose layers have sizes that 4-bit kernels take."""
    return tiny_families.llava(tmp_path_factory.mktemp("wide"), width=64)


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_quantized_weights_answer_much_alike_in_less_memory(wide: Path, quantize: str) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes: pip install 'fgvr-bench[quantized]'")
    whole = PLUGIN.load(settings(wide, dtype="float32"))
    quantized = PLUGIN.load(settings(wide, dtype="float32", quantize=quantize))
    assert quantized.model.get_memory_footprint() < 0.7 * whole.model.get_memory_footprint()
    assert quantized.model.num_parameters() == whole.model.num_parameters()
    fewer, all_bits = (
        [score for answer in answers(model, 8, 8) for score in answer.scores] for model in (quantized, whole)
    )
    assert fewer != all_bits
    assert statistics.correlation(fewer, all_bits) > 0.8


def test_four_bits_answer_the_same_in_every_batch(wide: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes: pip install 'fgvr-bench[quantized]'")
    model = PLUGIN.load(settings(wide, dtype="float32", quantize="4bit"))
    for one, three in zip(answers(model, size=1), answers(model, size=3), strict=True):
        assert one.scores == pytest.approx(three.scores, abs=1e-3)


def test_bits_are_a_part_of_the_identity(llava: Path) -> None:
    def identify(quantize: str) -> Any:
        return PLUGIN.identify(settings(llava, dtype="float32", quantize=quantize)).get("quantize")

    assert [identify(bits) for bits in ("no", "4bit", "8bit")] == [None, "4bit", "8bit"]


@pytest.mark.parametrize(
    ("quantize", "dtype", "device", "words"),
    [
        ("4bit", "float64", "cpu", "does not go with float64"),
        ("8bit", "float16", "mps", "needs a CUDA GPU or a processor"),
        ("2bit", "float32", "cpu", "Choose no, 4bit, 8bit"),
    ],
)
def test_what_cannot_be_quantized_is_refused(llava: Path, quantize: str, dtype: str, device: str, words: str) -> None:
    asked = ModelSettings(checkpoint=str(llava), device=device, dtype=dtype, args={"quantize": quantize})
    with pytest.raises(UsageError, match=words):
        PLUGIN.identify(asked)


def without(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    """Make a library look as if it were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == absent else find(name, *more))


def test_bits_without_bitsandbytes_say_what_to_type(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "bitsandbytes")
    with pytest.raises(ModelUnavailable, match=r"pip install 'fgvr-bench\[quantized\]'"):
        PLUGIN.load(settings(llava, dtype="float32", quantize="4bit"))


# --- an adapter beside the weights ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a checkpoint with an adapter in a folder of its own, and the same with the adapter merged."""
    peft = pytest.importorskip("peft", reason="needs peft: pip install 'fgvr-bench[adapters]'")
    import torch
    from transformers import Phi4MultimodalForCausalLM

    beside = tiny_families_later.phi4_multimodal(tmp_path_factory.mktemp("beside"))
    merged = Path(shutil.copytree(beside, tmp_path_factory.mktemp("merged"), dirs_exist_ok=True))
    settled = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["qkv_proj", "o_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(Phi4MultimodalForCausalLM.from_pretrained(beside, dtype=torch.float64), settled)
    adapted.save_pretrained(beside / "vision-lora")
    adapted.merge_and_unload().save_pretrained(merged)
    return beside, merged


def test_the_adapter_for_images_is_loaded_with_the_checkpoint(with_adapter: tuple[Path, Path]) -> None:
    beside, merged = (PHI4.load(settings(folder)) for folder in with_adapter)
    for one, other in zip(answers(beside), answers(merged), strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)
    alone = HuggingFacePlugin(PHI4.card, template=PHI4.template, adapt=PHI4.adapt).load(settings(with_adapter[0]))
    assert answers(alone)[0].scores != pytest.approx(answers(beside)[0].scores, abs=1e-3)


def test_another_adapter_is_another_model(with_adapter: tuple[Path, Path], tmp_path: Path) -> None:
    beside, merged = with_adapter
    copy = Path(shutil.copytree(beside, tmp_path / "copy"))
    first = PHI4.identify(settings(copy))
    assert first["adapter"]
    assert "adapter" not in PHI4.identify(settings(merged))
    config = copy / "vision-lora" / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 4'))
    assert PHI4.identify(settings(copy))["adapter"] != first["adapter"]


def test_an_adapter_without_its_weights_is_named(with_adapter: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(with_adapter[0], tmp_path / "copy"))
    (copy / "vision-lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="has no adapter vision-lora"):
        PHI4.load(settings(copy))


def test_an_adapter_without_peft_says_what_to_type(
    with_adapter: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "peft")
    with pytest.raises(ModelUnavailable, match=r"pip install 'fgvr-bench\[adapters\]'"):
        PHI4.load(settings(with_adapter[0]))


# --- what Phi-4's vision tower sees -----------------------------------------------------------------------


def test_pictures_of_different_numbers_of_crops_share_a_batch(tmp_path: Path) -> None:
    model = PHI4.load(settings(tiny_families_later.phi4_multimodal(tmp_path)))
    prompts = tiny.prompts(3)
    pictures = [
        image.resize(size) for image, size in zip(tiny.pictures(3), [(448, 448), (900, 400), (60, 500)], strict=True)
    ]
    items = [model.preparer.item(*pair) for pair in zip(prompts, pictures, strict=True)]
    assert len({item["image_pixel_values"].shape[1] for item in items}) > 1
    together = model.respond(prompts, model.preparer.batch(items))
    for prompt, item, response in zip(prompts, items, together, strict=True):
        alone = model.respond([prompt], model.preparer.batch([item]))[0]
        assert alone.scores == pytest.approx(response.scores, abs=1e-9)
