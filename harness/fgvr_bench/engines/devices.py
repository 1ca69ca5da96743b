"""Which device and precision a model runs on, settled without importing torch.

A run's identity names both, and is made before anything heavy is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.errors import ModelUnavailable, UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("float64", "float32", "bfloat16", "float16")


def resolve_device(asked: str) -> str:
    """Return the device that ``auto`` or a name stands for: ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: no such device name.
    """
    if asked == "auto":
        return "cuda" if cuda_is_there() else "mps" if mps_is_there() else "cpu"
    if re.fullmatch(r"cpu|mps|cuda(:\d+)?", asked):
        return asked
    raise UsageError(f"there is no device {asked!r}.", hint="Choose auto, cpu, mps, cuda or cuda:N.")


def device_kind(device: str) -> str:
    """Return the kind of a resolved device; answers are the same bytes on one kind.

    >>> device_kind("cuda:1")
    'cuda'
    """
    return device.partition(":")[0]


def resolve_dtype(asked: str, device: str, automatic: str | None = None) -> str:
    """Return the precision that ``auto`` or a name stands for on a resolved device.

    ``auto`` is `automatic` where given; else bfloat16 on CUDA, float16 on MPS, float32 on a CPU.

    Raises:
        UsageError: no such precision, or the device does not have it.
    """
    kind = device_kind(device)
    if asked == "auto":
        return automatic or {"cuda": "bfloat16", "mps": "float16"}.get(kind, "float32")
    if asked not in DTYPES:
        raise UsageError(f"there is no precision {asked!r}.", hint=f"Choose auto, {', '.join(DTYPES)}.")
    if asked == "float64" and kind == "mps":
        raise UsageError("Apple's GPUs have no float64.", hint="Give --dtype float32, or --device cpu.")
    return asked


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's object for one of `DTYPES`."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_device(device: str) -> None:
    """Make sure that the installed torch can use a resolved device.

    Raises:
        ModelUnavailable: it cannot; says why, and how to go on.
    """
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelUnavailable(
            "torch cannot use CUDA on this machine (a CPU build of torch, or no driver that fits it).",
            hint="Give --device cpu, or install the torch that fits the driver: https://pytorch.org/get-started/locally/",
        )
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise ModelUnavailable(
            f"there is no {device}; this machine has {torch.cuda.device_count()} CUDA device(s).",
            hint="Give --device cuda:0, or leave --device out.",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ModelUnavailable("torch cannot use Apple's GPU on this machine.", hint="Give --device cpu.")


def cuda_is_there() -> bool:
    """Say whether torch was built for CUDA and the driver shows a device (``CUDA_VISIBLE_DEVICES`` may hide all).

    The driver is asked through its management library: that leaves no CUDA context behind, which would make
    forked workers fail.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"} or not _torch_has_cuda():
        return False
    import ctypes

    try:
        management = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        count = ctypes.c_uint(0)
        if management.nvmlInit_v2() != 0:
            return False
        answered: bool = management.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return False
    return answered and count.value > 0


def mps_is_there() -> bool:
    """Say whether this is a Mac whose GPU torch can use."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def _torch_has_cuda() -> bool:
    """Read off torch's version file, without importing it, whether it was built for CUDA."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]", text, re.MULTILINE) is not None
