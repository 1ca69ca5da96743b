"""The set-up of ``.venv``: from nothing, again at once, after an interruption, and in words where it cannot.

A small project of the same shape stands in for this one, with wheels of the right names and nothing in them, so
that the whole set-up runs for real, without a network, in a few seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import bootstrap
import pytest
from overlay import ROOT

Setup = Callable[..., subprocess.CompletedProcess[str]]

BACKEND = '''
"""A build backend of the standard library alone; what it builds has a name, requirements and a module."""
import pathlib, zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name, requirement = pathlib.Path("project.txt").read_text().split()
    file = f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / file, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
            f"Provides-Extra: test\\nRequires-Dist: {requirement}\\n")
        tags = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: x\\n{tags}")
        wheel.writestr(f"{info}/RECORD", "")
    return file
'''
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def make_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a folder of wheels: all that pip can find."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in [("torch", "9.1+cpu"), ("torchvision", "9.2"), ("setuptools", "99.0"), ("needed", "1.0")]:
        make_wheel(folder, name, version)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder, with a space in its name, that is to this project what a doll's house is to a house."""
    root = tmp_path / "a project"
    for folder, name, requirement in ((root, "fgvr_bench", "torch"), (root / "finedefics", "finedefics", "needed")):
        folder.mkdir()
        (folder / "setup.cfg").write_text("[metadata]\n")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(textwrap.dedent(BACKEND))
        (folder / "project.txt").write_text(f"{name} {requirement}")
    (root / "constraints.txt").write_text("torch==9.1\ntorchvision==9.2\n")
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def set_up(project: Path, shelf: Path) -> Setup:
    """Return a function that runs the set-up of the small project with the wheels of the shelf alone."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "TORCH"))}
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": shelf.as_uri(), "PIP_CONFIG_FILE": os.devnull, "TORCH": "cpu"}
        command = [getattr(sys, "_base_executable", sys.executable), project / "scripts" / "bootstrap.py"]
        return subprocess.run(command, env=kept | offline | environment, capture_output=True, text=True)

    return run


def versions(project: Path) -> dict[str, str]:
    """Return what is installed in the project's environment."""
    folder = next((project / ".venv" / "lib").glob("python*")) / "site-packages"
    return dict(info.name.removesuffix(".dist-info").split("-", 1) for info in folder.glob("*.dist-info"))


def test_from_nothing_to_ready_at_once_after_that_and_on_from_a_failure(
    set_up: Setup, project: Path, shelf: Path
) -> None:
    first = set_up()
    assert first.returncode == 0, first.stdout + first.stderr
    there = versions(project)
    # torch's CPU build, and the registry's torchvision because no CPU build of it is to be had
    assert (there["torch"], there["torchvision"]) == ("9.1+cpu", "9.2")
    assert {"fgvr_bench", "finedefics", "needed"} <= there.keys()
    assert "installing torch 9.1, CPU build" in first.stdout
    assert "ready" in first.stdout.splitlines()[-1]

    again = set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (project / "project.txt").write_text("fgvr_bench another")
    (project / "setup.cfg").write_text("[metadata]\n# changed\n")
    failed = set_up()
    assert failed.returncode == 1
    assert "pip could not install the requirements" in failed.stderr
    assert "another" in failed.stderr
    assert "Traceback" not in failed.stderr

    make_wheel(shelf, "another", "1.0")
    mended = set_up()
    assert mended.returncode == 0, mended.stderr
    assert "another" in versions(project)
    assert "anew" not in mended.stdout
    assert "installing torch" not in mended.stdout


def test_what_a_killed_call_left_is_started_anew(set_up: Setup, project: Path, shelf: Path) -> None:
    (shelf / "torch-9.1+cpu-py3-none-any.whl").unlink()
    make_wheel(shelf, "torch", "9.1")
    done = set_up()
    assert done.returncode == 0, done.stderr
    assert "no CPU build is to be had here" in done.stdout
    assert "3 GB" in done.stdout
    assert versions(project)["torch"] == "9.1"

    # a package half written, and the mark of the call
    (project / ".venv" / "fgvr-stamp").unlink()
    (project / ".venv" / "fgvr-unfinished").touch()
    [half] = (project / ".venv" / "lib").glob("python*/site-packages/torch.py")
    half.unlink()
    again = set_up(TORCH="default")
    assert again.returncode == 0, again.stderr
    assert "starting .venv anew: the last set-up was cut off" in again.stdout
    assert "CPU build" not in again.stdout
    assert half.exists()


def test_an_environment_that_cannot_be_built_upon_is_told_by_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".venv"
    for name, path in [("VENV", "."), ("PYTHON", "bin/python"), ("STAMP", "stamp"), ("UNFINISHED", "unfinished")]:
        monkeypatch.setattr(bootstrap, name, folder / path)
    assert bootstrap.why_anew() is None
    (folder / "bin").mkdir(parents=True)
    assert bootstrap.why_anew() == "its Python is gone, of another version or without pip"
    (folder / "bin" / "python").symlink_to(sys.executable)
    home = Path(getattr(sys, "_base_executable", sys.executable)).parent
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    assert bootstrap.why_anew() == "its Python is gone, of another version or without pip"
    (folder / "stamp").write_text("/where/it/was\n0\n")
    assert bootstrap.why_anew() == "the folder was moved"
    (folder / "unfinished").touch()
    assert bootstrap.why_anew() == "the last set-up was cut off"


def test_an_unknown_build_of_torch_is_refused(set_up: Setup) -> None:
    refused = set_up(TORCH="rocm")
    assert refused.returncode == 1
    assert "Say TORCH=cpu or TORCH=default." in refused.stderr


def test_too_little_space_is_said_in_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bootstrap.GIGABYTES, "cpu", 10**9)
    monkeypatch.setattr(bootstrap, "PYTHON", Path("/nonexistent"))
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(bootstrap.Failed, match=r"GB are free on the disk of .*; the installation needs 1000000000 GB"):
        bootstrap.check_machine("cpu")


@pytest.fixture
def pythons(tmp_path: Path) -> Path:
    """Return an empty folder to be the only one on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def find_python(pythons: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", ROOT / "scripts" / "find-python"]
    return subprocess.run(command, env={"PATH": str(pythons), **environment}, capture_output=True, text=True)


def make_python(pythons: Path, name: str, script: str) -> None:
    (pythons / name).write_text(f"#!/bin/sh\n{script}\n")
    (pythons / name).chmod(0o755)


def test_a_machine_without_python_is_told_what_to_install(pythons: Path) -> None:
    told = find_python(pythons)
    assert (told.returncode, told.stdout) == (1, "")
    assert "needs Python 3.11 to 3.14; found here: none." in told.stderr
    assert "apt install python3" in told.stderr
    assert "brew install" in told.stderr


def test_an_old_python_is_named_with_its_version(pythons: Path) -> None:
    make_python(pythons, "python3", 'case "$2" in *print*%*) echo 3.9 ;; *) exit 3 ;; esac')
    told = find_python(pythons)
    assert told.returncode == 1
    assert "found here: python3 (3.9)." in told.stderr


def test_debians_missing_venv_module_is_named_with_its_package(pythons: Path) -> None:
    make_python(pythons, "python3", "exit 4")
    told = find_python(pythons)
    assert told.returncode == 1
    assert "sudo apt install python3-venv" in told.stderr


def test_a_name_on_the_path_that_does_not_run_is_passed_over(pythons: Path) -> None:
    make_python(pythons, "python3", "echo 'not installed' >&2; exit 127")
    make_python(pythons, "python3.12", "echo /opt/python3.12")
    found = find_python(pythons)
    assert (found.returncode, found.stdout, found.stderr) == (0, "/opt/python3.12\n", "")


def test_the_interpreter_that_was_asked_for_is_taken_or_refused(pythons: Path) -> None:
    make_python(pythons, "python3", "echo /usr/bin/python3")
    refused = find_python(pythons, PYTHON="/opt/none at all/python")
    assert refused.returncode == 1
    assert "/opt/none at all/python is no Python of version 3.11 to 3.14 that runs here." in refused.stderr
    folder = pythons / "with space"
    folder.mkdir()
    make_python(folder, "python", "echo /opt/python")
    assert find_python(pythons, PYTHON=str(folder / "python")).stdout == "/opt/python\n"


def test_an_activated_environment_gives_the_interpreter_it_was_made_with() -> None:
    found = find_python(Path(sys.executable).parent)
    assert found.returncode == 0
    assert Path(found.stdout.strip()).parent != Path(sys.executable).parent
