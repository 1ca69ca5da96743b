"""What torch says of itself and of the GPUs, asked in a process of its own: it takes seconds, and may crash."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fgvr_bench.core.checkup import Finding, gigabytes, good, remark, wrong

AREA = "torch"
PATIENCE = 60.0
"""Seconds after which torch counts as hanging; a cold disk takes ten."""
OLDEST_COMPUTE = (7, 0)
"""Compute capability below which bfloat16 and current kernels are not to be had."""

ASK = """
import json, torch
said = {"version": torch.__version__, "built_for": torch.version.cuda or torch.version.hip, "gpus": []}
try:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            of = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
            said["gpus"].append([of.name, total, free, [of.major, of.minor]])
        float(torch.ones(8, device="cuda").sum())
except Exception as error:
    said["gpu_error"] = " ".join(str(error).split())[:300]
said["mps"] = bool(torch.backends.mps.is_available())
try:
    import torchvision
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    said["operators"] = True
except ImportError as error:
    said["operators"] = None
except Exception as error:
    said["operators"] = False
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """torch under way in its process."""

    process: subprocess.Popen[bytes]

    def findings(self) -> Iterator[Finding]:
        """Wait for what it says, and judge it."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            fix = "See whether the GPU answers at all (nvidia-smi), and whether the disk is slow."
            yield wrong(AREA, f"torch does not start within {PATIENCE:.0f} s.", fix)
            return
        try:
            said = json.loads(out)
        except ValueError:
            lines = err.decode(errors="replace").split("\n")
            reason = next((line.strip() for line in reversed(lines) if line.strip()), "no word said")
            how = f"status {self.process.returncode}, {reason[:300]}"
            yield wrong(AREA, f"torch cannot be imported ({how}).", "pip install --force-reinstall torch")
            return
        yield from judge(said)


def ask_torch() -> Asked:
    """Start the process; `Asked.findings` waits for it."""
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", ASK]
    pipe = subprocess.PIPE
    return Asked(subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, env=quiet))  # noqa: S603


def judge(said: Mapping[str, Any]) -> Iterator[Finding]:
    """Put what torch says into findings.

    Args:
        said: what `ASK` prints.
    """
    driver = has_gpu_driver()
    if said.get("gpu_error"):
        yield wrong(
            AREA, f"the GPU does not work: {said['gpu_error']}.", "Update the driver, or go on with --device cpu."
        )
    elif said["gpus"]:
        for name, total, free, compute in said["gpus"]:
            yield good(AREA, f"torch {said['version']} with {name}, {gigabytes(free)} of {gigabytes(total)} free")
            if tuple(compute) < OLDEST_COMPUTE:
                yield remark(AREA, f"{name} is old: models run in float32 there", "--dtype float32")
    elif driver and said["built_for"] is None:
        fix = "TORCH=default make venv in a clone; elsewhere: pip install --force-reinstall torch"
        yield wrong(AREA, f"there is a GPU driver, but torch {said['version']} is built for the CPU.", fix)
    elif driver:
        yield wrong(
            AREA,
            f"there is a GPU driver, but torch {said['version']} (for CUDA {said['built_for']}) finds no GPU.",
            "See what nvidia-smi says; CUDA_VISIBLE_DEVICES may hide it, or the driver be too old for this torch.",
        )
    else:
        where = "Apple's GPU" if said.get("mps") else "the CPU alone"
        yield good(AREA, f"torch {said['version']} on {where}")
    yield from _operators(said["operators"])
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        fix = "Install one (Debian: apt install gcc) for faster models on a GPU."
        yield remark(AREA, "no C compiler, so models are not compiled", fix)


def _operators(whole: bool | None) -> Iterator[Finding]:
    if whole is None:
        yield wrong(AREA, "torchvision cannot be imported, which image models need.", "pip install torchvision")
    elif whole:
        yield good(AREA, "torchvision with its operators")
    else:
        yield remark(
            AREA,
            "torchvision is built for another torch, so it is without its operators; no bundled model needs them",
            None,
        )


def has_gpu_driver() -> bool:
    """Say whether this machine has a driver of NVIDIA's or AMD's."""
    return bool(
        shutil.which("nvidia-smi")
        or glob.glob("/dev/nvidia[0-9]*")
        or any(map(os.path.exists, ("/dev/kfd", "/dev/dxg")))
    )
