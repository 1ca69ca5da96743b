"""Checkpoints: where they are, what identifies them, and what is said when they are not there or not whole."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hub
import pytest
import tiny_families

from fgvr_bench.engines import checkpoints
from fgvr_bench.engines.checkpoints import checkpoint_identity, find_checkpoint, folder_digest
from fgvr_bench.engines.fetching import what_is_missing
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.errors import ModelUnavailable, UsageError
from fgvr_bench.interfaces import Decoding, ModelCard, ModelSettings
from fgvr_models.hf import HF
from fgvr_models.idefics2 import IDEFICS2
from fgvr_models.qwen_vl import QWEN2_VL

PLUGIN = HuggingFacePlugin(ModelCard("tiny", "Tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def load(checkpoint: Path, plugin: HuggingFacePlugin = PLUGIN, decoding: str = "generate", **args: str) -> Any:
    settings = ModelSettings(checkpoint=str(checkpoint), device="cpu", decoding=Decoding(decoding), args=args)
    return plugin.load(settings)


# --- names and folders ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("./nowhere", ModelUnavailable, "no checkpoint folder ./nowhere"),
        ("/no/where/at/all", ModelUnavailable, "no checkpoint folder"),
        ("a/b/c", ModelUnavailable, "no checkpoint folder a/b/c"),
        ("two words", UsageError, "neither a folder nor a hub name"),
    ],
)
def test_a_name_that_is_no_checkpoint_is_refused(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        find_checkpoint(name)


def test_a_file_is_no_checkpoint_but_its_folder_may_be(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is a file") as caught:
        find_checkpoint(str(folder / "config.json"))
    assert f"--checkpoint {folder}" in str(caught.value)


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(UsageError, match="has no revisions"):
        find_checkpoint(str(folder), "main")


# --- identity -------------------------------------------------------------------------------------


def test_a_folder_is_identified_by_what_it_holds(folder: Path, copy: Path) -> None:
    identity = checkpoint_identity(find_checkpoint(str(folder)))
    assert identity == checkpoint_identity(find_checkpoint(str(copy)))
    (copy / "README.md").write_text("Notes change no answer.")
    assert folder_digest(copy) == identity["sha256"]
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert folder_digest(copy) != identity["sha256"]


def test_big_files_are_hashed_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    big = copy / "model.safetensors"
    big.write_bytes(big.read_bytes() + b"\0" * (2 << 20))
    first = folder_digest(copy)
    hashed: list[str] = []
    whole = hashlib.file_digest
    monkeypatch.setattr(
        checkpoints.hashlib, "file_digest", lambda file, kind: hashed.append(Path(file.name).name) or whole(file, kind)
    )
    assert folder_digest(copy) == first
    assert "model.safetensors" not in hashed
    os.utime(big, ns=(1, 1))
    assert folder_digest(copy) == first
    assert "model.safetensors" in hashed


def test_identity_names_all_that_can_change_an_answer(folder: Path) -> None:
    def identify(plugin: HuggingFacePlugin = PLUGIN, dtype: str = "auto", **args: str) -> dict[str, Any]:
        return dict(plugin.identify(ModelSettings(checkpoint=str(folder), device="cpu", dtype=dtype, args=args)))

    plain = identify()
    assert plain["dtype"] == "float32"
    assert plain["device"] == "cpu"
    assert json.loads(json.dumps(plain)) == plain
    others = [
        identify(dtype="float64"),
        identify(attention="eager"),
        identify(image_backend="pil"),
        identify(template="USER: <image> {}"),
        identify(processor=str(folder)),
        identify(IDEFICS2),
        identify(IDEFICS2, do_image_splitting="yes"),
        identify(QWEN2_VL, max_pixels="1000"),
    ]
    assert len({json.dumps(each, sort_keys=True) for each in [plain, *others]}) == len(others) + 1


def test_identity_needs_neither_torch_nor_the_hubs_client(folder: Path) -> None:
    code = (
        "import sys; from fgvr_models.idefics2 import IDEFICS2; from fgvr_bench.interfaces import ModelSettings; "
        f"IDEFICS2.identify(ModelSettings(checkpoint={str(folder)!r})); "
        "assert not {'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"atention": "eager"}, "Did you mean attention"),
        ({"attention": "magic"}, "attention=magic"),
        ({"template": "no place for it"}, "neither a file nor a text"),
        ({"spread": "perhaps"}, "yes or no"),
    ],
)
def test_settings_that_a_model_does_not_have_are_refused(folder: Path, args: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PLUGIN.identify(ModelSettings(checkpoint=str(folder), args=args))


def test_code_of_a_checkpoint_runs_only_from_a_pinned_revision() -> None:
    settings = ModelSettings(argument="org/name", trust_remote_code=True)
    with pytest.raises(UsageError, match="wants a pinned revision"):
        HF.identify(settings)
    pinned = ModelSettings(argument="org/name", trust_remote_code=True, revision="a" * 40)
    assert HF.identify(pinned)["revision"] == "a" * 40


def test_a_name_without_checkpoint_says_how_to_give_one() -> None:
    with pytest.raises(UsageError, match="hf:ORGANISATION/NAME"):
        HF.identify(ModelSettings())


# --- incomplete and damaged folders ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        (("config.json",), "has no config.json"),
        (("model.safetensors",), r"has no weights \(model.safetensors\)"),
        (("processor_config.json", "preprocessor_config.json"), "has no processor"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(copy: Path, absent: tuple[str, ...], words: str) -> None:
    for name in absent:
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(ModelUnavailable, match=words) as caught:
        load(copy)
    assert str(copy) in str(caught.value)


def test_a_processor_can_come_from_elsewhere(copy: Path, folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink(missing_ok=True)
    assert load(copy, processor=str(folder)).facts()["processor_class"] == "LlavaProcessor"


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (copy / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert what_is_missing(copy) == "lacks model-00002-of-00002.safetensors"
    with pytest.raises(ModelUnavailable, match="lacks model-00002"):
        load(copy)


def test_damaged_weights_are_one_sentence(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(copy)


def test_weights_that_lack_a_tensor_are_refused_not_drawn_at_random(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    name = next(name for name in weights if "q_proj" in name)
    save_file({key: value for key, value in weights.items() if key != name}, copy / "model.safetensors")
    with pytest.raises(ModelUnavailable, match="lack 1 that the model needs"):
        load(copy)


def test_pickled_weights_that_carry_code_are_refused(copy: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "trapped"),)

    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load(copy)
    assert not (tmp_path / "trapped").exists()


def test_pickled_weights_without_code_load(copy: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert load(copy).facts()["model_class"] == "LlavaForConditionalGeneration"


def test_an_architecture_that_takes_no_images_is_named_so(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelUnavailable, match="no image-text-to-text model"):
        load(copy)


def test_code_in_a_checkpoint_is_not_run_unasked(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config.update(model_type="mine", auto_map={"AutoConfig": "mine.Mine", "AutoModelForImageTextToText": "mine.Model"})
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "mine.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ModelUnavailable, match="brings code of its own"):
        load(copy)


def test_a_checkpoint_without_chat_template_asks_for_one(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink(missing_ok=True)
    for name in ("processor_config.json", "tokenizer_config.json"):
        settings = json.loads((copy / name).read_text())
        settings.pop("chat_template", None)
        (copy / name).write_text(json.dumps(settings))
    with pytest.raises(ModelUnavailable, match="has no chat template"):
        load(copy)
    words = "USER: <image>\\n{} ASSISTANT:"
    assert load(copy, template=words).preparer.template.text == "USER: <image>\n{} ASSISTANT:"


def test_a_template_file_takes_the_place_of_the_checkpoints(copy: Path) -> None:
    file = copy / "mine.jinja"
    file.write_text("<image>{% for part in messages[0].content if part.type == 'text' %}{{ part.text }}{% endfor %}!")
    preparer = load(copy, template=str(file)).preparer
    assert preparer.template.render(preparer.processor, "Which?") == "<image>Which?!"


def test_letters_that_the_tokenizer_cannot_tell_apart_stop_before_the_weights(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"Regex": "[B-D]"}, "content": "A"}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UsageError, match="'A' and 'B' are the same tokens"):
        load(copy, decoding="logprob")
    assert load(copy, decoding="generate").batch_size == 4


# --- the hub ---------------------------------------------------------------------------------------

ASK = """
import json, os
from pathlib import Path
from fgvr_bench.engines.checkpoints import checkpoint_identity, find_checkpoint
from fgvr_bench.engines.fetching import fetch
from fgvr_bench.errors import FgvrError
found = {}
try:
    checkpoint = find_checkpoint(NAME, REVISION)
    found["identity"] = checkpoint_identity(checkpoint)
    folder = fetch(checkpoint, adapter=ADAPTER)
    found["files"] = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
except FgvrError as error:
    found["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def ask(
    home: Path,
    address: str,
    name: str,
    revision: str | None = None,
    offline: bool = False,
    adapter: str | None = None,
) -> dict[str, Any]:
    """Ask for a checkpoint in a process of its own, whose hub is `address`."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    code = f"NAME, REVISION, ADAPTER = {name!r}, {revision!r}, {adapter!r}\n{ASK}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_hub_checkpoint_is_pinned_downloaded_once_and_then_taken_from_the_cache(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    for file in folder.iterdir():
        shutil.copyfile(file, tmp_path / "repository" / file.name)
    (tmp_path / "repository" / "weights.gguf").write_bytes(b"not ours")
    with hub.serve({"org/tiny": tmp_path / "repository"}) as (address, requests):
        first = ask(tmp_path / "home", address, "org/tiny")
        assert first["identity"] == {"checkpoint": "org/tiny", "revision": hub.COMMIT}
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(first["files"])
        assert "weights.gguf" not in first["files"]
        requests.clear()
        assert ask(tmp_path / "home", address, "org/tiny", hub.COMMIT) == first
        assert not [request for request in requests if "org/tiny" in request]
        assert "has no revision 'nope'" in ask(tmp_path / "home", address, "org/tiny", "nope")["error"]
        assert "the hub has no model org/unknown" in ask(tmp_path / "home", address, "org/unknown")["error"]
    without_network = ask(tmp_path / "home", address, "org/tiny", offline=True)
    assert without_network == first


def test_an_adapter_is_downloaded_with_its_checkpoint_and_nothing_else_below_it(folder: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(folder, tmp_path / "repository"))
    for place in ("vision-lora", "speech-lora", "onnx"):
        (repository / place).mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (repository / place / name).write_bytes(b"{}")
    with hub.serve({"org/tiny": repository}) as (address, requests):
        plain = ask(tmp_path / "home", address, "org/tiny")
        assert not [name for name in plain["files"] if "/" in name]
        found = ask(tmp_path / "home", address, "org/tiny", adapter="vision-lora")
        adapter = ["vision-lora/adapter_config.json", "vision-lora/adapter_model.safetensors"]
        assert [name for name in found["files"] if "/" in name] == adapter
        requests.clear()
        assert ask(tmp_path / "home", address, "org/tiny", hub.COMMIT, adapter="vision-lora") == found
        assert not [request for request in requests if "org/tiny" in request]
        missing = ask(tmp_path / "home", address, "org/tiny", adapter="audio-lora")
    assert "has no adapter audio-lora" in missing["error"]


def test_no_network_and_no_cache_say_what_to_type(tmp_path: Path) -> None:
    with hub.serve({}) as (address, _):
        pass
    for offline in (False, True):
        error = ask(tmp_path / "home", address, "org/tiny", offline=offline)["error"]
        assert error.startswith("ModelUnavailable: org/tiny is not in the cache and the hub cannot be reached")
        assert "hf download org/tiny" in error
        assert "--checkpoint FOLDER" in error


def test_a_pinned_revision_without_network_fails_only_when_its_files_are_wanted(tmp_path: Path) -> None:
    with hub.serve({}) as (address, _):
        pass
    found = ask(tmp_path / "home", address, "org/tiny", "a" * 40)
    assert found["identity"]["revision"] == "a" * 40
    assert "is not in the cache and the hub cannot be reached" in found["error"]
