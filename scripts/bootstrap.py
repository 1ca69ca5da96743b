"""Make ``.venv`` with everything that `make` needs, or see that it is there: standard library only.

A stamp holds a digest of all that the environment follows from, so a second call returns at once.  A call
that was cut off leaves a mark, and the next one starts the environment anew; one that failed in words
(no network, disk full) keeps what it has and goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "fgvr-stamp"
UNFINISHED = VENV / "fgvr-unfinished"
CONSTRAINTS = ROOT / "constraints.txt"
PROJECTS = (ROOT, ROOT / "finedefics")

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
GIGABYTES = {"cpu": 3, "default": 12}
"""Free space that a first installation needs, downloads included."""


class Failed(Exception):
    """Something that the person at the keyboard can put right; the message says how."""


def say(message: str) -> None:
    """Print a line of progress."""
    print(f"[setup] {message}", flush=True)


def fingerprint() -> str:
    """Return a digest of all that the environment follows from, where it lies included.

    Its scripts name its folder, so one that was moved has to be made anew.
    """
    parts = [f"{ROOT}\n{wanted_build()}\n".encode()]
    for project in PROJECTS:
        parts += [(project / name).read_bytes() for name in ("setup.cfg", "pyproject.toml")]
    parts += [CONSTRAINTS.read_bytes(), Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def wanted_build() -> str:
    """Return ``cpu`` where the registry's torch would bring CUDA libraries of gigabytes that nothing here uses.

    ``TORCH=cpu`` or ``TORCH=default`` in the environment decides otherwise.
    """
    given = os.environ.get("TORCH", "")
    if given:
        if given not in GIGABYTES:
            raise Failed(f"TORCH={given} is not known. Say TORCH=cpu or TORCH=default.")
        return given
    drivers = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1")
    has_gpu = shutil.which("nvidia-smi") is not None or any(Path(path).exists() for path in drivers)
    return "cpu" if sys.platform == "linux" and not has_gpu else "default"


def pinned(name: str) -> str:
    """Return the version that constraints.txt pins `name` to."""
    found = re.search(rf"^{re.escape(name)}==(\S+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    if found is None:
        raise Failed(f"constraints.txt does not pin {name}.")
    return found[1]


def check_machine(build: str) -> None:
    """Refuse, in words, a machine on which the installation cannot end well."""
    if sys.platform == "darwin" and platform.machine() != "arm64":
        raise Failed("PyTorch has no builds for Macs with Intel processors any more. Use Linux or a newer Mac.")
    need = GIGABYTES[build] if installed("torch") is None else 1
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < need:
        raise Failed(f"{free:.1f} GB are free on the disk of {ROOT}; the installation needs {need} GB. Free some.")


def why_anew() -> str | None:
    """Return why ``.venv`` cannot be built upon, or None where it can or is not there."""
    if not VENV.exists():
        return None
    if UNFINISHED.exists():
        return "the last set-up was cut off"
    if STAMP.exists() and STAMP.read_text().partition("\n")[0] != str(ROOT):
        return "the folder was moved"
    check = "import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", check], capture_output=True).returncode:
        return "its Python is gone, of another version or without pip"
    return None


def make_environment() -> None:
    """Make ``.venv`` where it is not there, anew where it cannot be built upon."""
    reason = why_anew()
    if reason is not None:
        say(f"starting .venv anew: {reason}")
        shutil.rmtree(VENV)
    if not VENV.exists():
        say(f"making .venv with Python {platform.python_version()} ...")
        made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True)
        if made.returncode:
            raise Failed(f"python -m venv failed:\n{last_lines(made.stdout + made.stderr)}")
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)


def installed(name: str) -> str | None:
    """Return the version of a distribution in ``.venv``, or None."""
    if not PYTHON.exists():
        return None
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    asked = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else None


def last_lines(text: str, most: int = 15) -> str:
    """Return the end of a program's output, without pip's warnings on places it did not look in."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice]"))]
    return "\n".join(lines[-most:])


def pip_install(*arguments: str | Path) -> str | None:
    """Run ``pip install`` in ``.venv``; return None, or the end of what it said where it failed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PIP_USER", "PIP_TARGET")}
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return None if done.returncode == 0 else last_lines(done.stdout + done.stderr)


def need(what: str, *arguments: str | Path) -> None:
    """Run ``pip install`` and raise where it fails."""
    problem = pip_install(*arguments)
    if problem is not None:
        raise Failed(f"pip could not install {what}:\n{problem}\nIs there a network, and space? Then run make again.")


def install_torch(build: str) -> None:
    """Install the pinned pair, each without its dependencies, so that neither drags in another build."""
    torch, vision = pinned("torch"), pinned("torchvision")
    there = (installed("torch") or "").partition("+")[0], (installed("torchvision") or "").partition("+")[0]
    if there == (torch, vision):
        return
    if build == "cpu":
        say(f"installing torch {torch}, CPU build (about 190 MB to download) ...")
        # First wherever this machine's pip looks by itself, then PyTorch's own index of CPU builds.
        for source in ((), ("--index-url", TORCH_CPU_INDEX, "--timeout", "30", "--retries", "2")):
            if pip_install("--no-deps", *source, f"torch=={torch}+cpu") is None:
                # The registry's torchvision serves too: the package only needs its Python part.
                if pip_install("--no-deps", *source, f"torchvision=={vision}+cpu") is not None:
                    need("torchvision", "--no-deps", f"torchvision=={vision}")
                return
        say("no CPU build is to be had here; the registry's build comes with CUDA libraries (about 3 GB to download)")
        check_machine("default")
    say(f"installing torch {torch} ...")
    need("torch", "--constraint", CONSTRAINTS, f"torch=={torch}")
    need("torchvision", "--no-deps", f"torchvision=={vision}")


def install_projects() -> None:
    """Install both distributions, editable, with what their tests need."""
    size = " (about 250 MB to download)" if installed("transformers") is None else ""
    say(f"installing fgvr-bench, finedefics and what they need{size} ...")
    # In the environment itself rather than in a fresh one for each build, which would be downloaded anew.
    need("setuptools", "setuptools>=77")
    editable = ("--editable", f"{PROJECTS[0]}[test]", "--editable", PROJECTS[1])
    need("the requirements", "--no-build-isolation", "--constraint", CONSTRAINTS, *editable)


def check_imports() -> None:
    """See that what was installed can be loaded."""
    done = subprocess.run(
        [PYTHON, "-c", "import fgvr_bench, finedefics, torch"], capture_output=True, text=True, cwd=VENV
    )
    if done.returncode:
        raise Failed(f"what was installed cannot be loaded:\n{last_lines(done.stderr)}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other call works on this environment."""
    with Path(__file__).open() as held:
        # Some network file systems have no locks; there two calls at once are not told apart.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another make that is at work on .venv ...")
                fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Bring ``.venv`` up to date; return the exit status."""
    began = time.monotonic()
    try:
        with alone():
            stamp = f"{ROOT}\n{fingerprint()}\n"
            if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
                return 0
            build = wanted_build()
            check_machine(build)
            make_environment()
            try:
                install_torch(build)
                install_projects()
                check_imports()
            except Failed:
                UNFINISHED.unlink()
                raise
            UNFINISHED.unlink()
            STAMP.write_text(stamp)
    except Failed as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run make again to go on.", file=sys.stderr)
        return 130
    say(f"the environment is ready ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
