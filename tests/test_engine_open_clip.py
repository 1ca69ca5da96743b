"""The contrastive engine: loading, identity, embeddings, and errors that say what to do."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from fgvr_bench.engines.open_clip import clip_identity, load_open_clip
from fgvr_bench.errors import ModelUnavailable, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


def pictures(count: int) -> list:
    from PIL import Image

    return [Image.effect_noise((40 + 7 * i, 60), 40 + i).convert("RGB") for i in range(count)]


def test_embeddings_have_unit_length_and_say_which_text_is_nearest(folder: Path) -> None:
    import torch

    clip = load_open_clip(str(folder), "cpu")
    images = clip.encode_images(torch.stack([clip.preprocess(image) for image in pictures(3)]))
    texts = clip.encode_texts(["an image of a crow", "an image of a tern"])
    assert images.dtype == texts.dtype == torch.float32
    assert (images.shape, texts.shape) == ((3, 16), (2, 16))
    assert torch.allclose(images.norm(dim=-1), torch.ones(3), atol=1e-6)
    assert torch.allclose(texts.norm(dim=-1), torch.ones(2), atol=1e-6)
    assert (images @ texts.T).abs().max() <= 1 + 1e-6


def test_embeddings_do_not_depend_on_the_batch_in_float64(folder: Path) -> None:
    import torch

    clip = load_open_clip(str(folder), "cpu", "float64")
    pixels = torch.stack([clip.preprocess(image) for image in pictures(8)])
    together = clip.encode_images(pixels)
    assert together.dtype == torch.float64
    alone = torch.cat([clip.encode_images(pixels[i : i + 1]) for i in range(8)])
    by_three = torch.cat([clip.encode_images(pixels[i : i + 3]) for i in range(0, 8, 3)])
    assert (together - alone).abs().max() < 1e-12
    assert (together - by_three).abs().max() < 1e-12
    names = [f"an image of a {name}" for name in ("crow", "tern", "jay", "owl", "wren")]
    assert (clip.encode_texts(names) - clip.encode_texts(names, batch_size=2)).abs().max() < 1e-12


def test_embeddings_are_open_clips_own(folder: Path) -> None:
    import open_clip
    import torch

    clip = load_open_clip(str(folder), "cpu")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    image = pictures(1)[0]
    with torch.no_grad():
        expected = model.encode_image(preprocess(image)[None], normalize=True)
    assert torch.allclose(clip.encode_images(clip.preprocess(image)[None]), expected, rtol=0, atol=1e-6)
    assert clip.logit_scale == pytest.approx(float(model.logit_scale.exp()))


def test_preprocessing_travels_to_worker_processes(folder: Path) -> None:
    import torch

    preprocess = load_open_clip(str(folder), "cpu").preprocess
    image = pictures(1)[0]
    assert torch.equal(pickle.loads(pickle.dumps(preprocess))(image), preprocess(image))


def test_identity_follows_the_weights_not_the_place(folder: Path, tmp_path: Path) -> None:
    moved = tiny.clip(tmp_path / "elsewhere")
    other = tiny.clip(tmp_path / "other", seed=1)
    assert clip_identity(str(folder)) == clip_identity(str(moved)) != clip_identity(str(other))
    assert load_open_clip(str(folder), "cpu").digest == clip_identity(str(folder))["sha256"]


def test_identity_of_a_changed_file_is_never_the_cached_one(folder: Path, tmp_path: Path) -> None:
    copy = tiny.clip(tmp_path / "copy")
    before = clip_identity(str(copy))
    weights = copy / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert clip_identity(str(copy)) != before


def test_published_weights_are_identified_by_their_names_without_torch() -> None:
    code = (
        "import sys; from fgvr_bench.engines.open_clip import clip_identity; "
        "print(clip_identity()); assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'checkpoint': 'ViT-L-14/laion2b_s32b_b82k'}"


@pytest.mark.parametrize(
    ("checkpoint", "kind", "words"),
    [
        ("ViT-L-41/laion2b_s32b_b82k", UsageError, ["ViT-L-41", "ViT-L-14"]),
        ("ViT-L-14", UsageError, ["names no weights"]),
        ("ViT-L-14/laion2b_s32b_b28k", UsageError, ["laion2b_s32b_b82k"]),
        ("/nowhere/clip", ModelUnavailable, ["/nowhere/clip"]),
        ("ViT-L-14/laion2b_s32b_b82k", ModelUnavailable, ["hf download laion/CLIP-ViT-L-14-laion2B-s32B-b82K"]),
        ("hf-hub:imageomics/bioclip", ModelUnavailable, ["hf download imageomics/bioclip"]),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_says_what_to_do(
    checkpoint: str, kind: type[Exception], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(kind) as caught:
        load_open_clip(checkpoint, "cpu")
    for word in words:
        assert word in str(caught.value)


def test_an_incomplete_folder_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelUnavailable, match=r"has no open_clip_config\.json"):
        load_open_clip(str(empty), "cpu")
    (empty / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    with pytest.raises(ModelUnavailable, match="has no weights"):
        load_open_clip(str(empty), "cpu")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "some/tokenizer"
    (empty / "open_clip_config.json").write_text(json.dumps(config))
    (empty / "open_clip_model.safetensors").write_bytes((folder / "open_clip_model.safetensors").read_bytes())
    with pytest.raises(ModelUnavailable, match="no tokenizer files"):
        load_open_clip(str(empty), "cpu")


def test_damaged_weights_are_an_error_not_a_traceback(folder: Path, tmp_path: Path) -> None:
    copy = tiny.clip(tmp_path / "copy")
    (copy / "open_clip_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load_open_clip(str(copy), "cpu")


@pytest.mark.parametrize(("device", "dtype"), [("gpu", "auto"), ("cpu", "float8")])
def test_unknown_devices_and_precisions_are_refused(folder: Path, device: str, dtype: str) -> None:
    with pytest.raises(UsageError, match=device if device != "cpu" else dtype):
        load_open_clip(str(folder), device, dtype)


def test_pixels_sent_as_bytes_become_the_very_numbers_of_open_clips_transform(folder: Path) -> None:
    import torch

    clip = load_open_clip(str(folder), "cpu")
    assert clip.normalise is not None
    for image in pictures(3):
        sent = clip.read(image)
        assert sent.dtype == torch.uint8
        assert torch.equal(clip._pixels(sent[None])[0], clip.preprocess(image))
