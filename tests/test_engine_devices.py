"""Devices and precisions, settled without torch; torchvision without its compiled part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fgvr_bench.engines import devices, torchvision_ops
from fgvr_bench.engines.devices import check_device, device_kind, resolve_device, resolve_dtype
from fgvr_bench.engines.settings import read_arg, refuse_unknown, yes_or_no
from fgvr_bench.errors import ModelUnavailable, UsageError


def test_auto_agrees_with_torch_on_this_machine() -> None:
    import torch

    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto") == expected
    check_device(resolve_device("auto"))


@pytest.mark.parametrize("name", ["cpu", "mps", "cuda", "cuda:3"])
def test_a_device_that_is_asked_for_is_kept(name: str) -> None:
    assert resolve_device(name) == name
    assert device_kind(name) == name.removesuffix(":3")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_other_device_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Choose auto"):
        resolve_device(name)


def test_hidden_devices_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not devices.cuda_is_there()


def test_whether_torch_was_built_for_cuda_is_read_off_its_files() -> None:
    import torch

    assert devices._torch_has_cuda() == (torch.version.cuda is not None)


def test_precision_follows_from_the_device() -> None:
    assert [resolve_dtype("auto", device) for device in ("cpu", "mps", "cuda:1")] == ["float32", "float16", "bfloat16"]
    assert resolve_dtype("auto", "cuda", automatic="float32") == "float32"
    assert resolve_dtype("float64", "cpu") == "float64"
    with pytest.raises(UsageError, match="no precision 'float8'"):
        resolve_dtype("float8", "cpu")
    with pytest.raises(UsageError, match="no float64"):
        resolve_dtype("float64", "mps")


def test_a_device_that_torch_cannot_use_says_how_to_go_on() -> None:
    import torch

    absent = "cuda:99" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ModelUnavailable, match="--device"):
        check_device(absent)


def test_settings_are_read_and_refused_by_name() -> None:
    assert read_arg({"n": "3"}, "n", int, 0) == 3
    assert read_arg({}, "n", int, 7) == 7
    with pytest.raises(UsageError, match="n=x cannot be read"):
        read_arg({"n": "x"}, "n", int, 0)
    with pytest.raises(UsageError, match="It has none"):
        refuse_unknown({"n": "x"}, (), "random")
    assert [yes_or_no(word) for word in ("Yes", "off")] == [True, False]


def test_torchvision_can_be_imported_whether_its_operators_load_or_not() -> None:
    code = (
        "from fgvr_bench.engines import torchvision_ops as ops; ops.ensure(); ops.ensure(); "
        "import torchvision, torch; from torchvision.transforms.v2 import functional as F; "
        "print(tuple(F.resize(torch.zeros(3, 8, 8), [4, 4]).shape), torchvision.extension._has_ops(), ops._library)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shape, has_ops, library = done.stdout.strip().replace("(3, 4, 4)", "shape").split(" ", 2)
    assert shape == "shape"
    assert (has_ops == "True") == (library == "None"), "operators are declared only where the real ones are absent"


def test_an_extension_that_cannot_be_loaded_is_told_from_one_that_can(tmp_path: Path) -> None:
    assert not torchvision_ops._extension_loads(tmp_path)
    (tmp_path / "_C.so").write_bytes(b"not a library")
    assert not torchvision_ops._extension_loads(tmp_path)
