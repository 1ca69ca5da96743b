"""Environments beside ``.venv`` for what has to be installed for real: the wheel, a plugin from outside.

An overlay is a virtual environment whose requirements are links to those of the environment that makes it,
so that torch is on the disk once.  Nothing of the checkout shows through: editable installs are left out,
their metadata too, and what is installed comes from a wheel, without its requirements.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "harness", "plugins")
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", "tests")


def copy_sources(folder: Path) -> Path:
    """Copy what the distribution is built from, so that a build leaves nothing in the checkout."""
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=NOT_SOURCE)
        else:
            shutil.copy(source, folder / name)
    return folder


def build_wheel(project: Path, into: Path) -> Path:
    """Build the wheel of the project in `project` with this environment's setuptools; return its file."""
    _run(sys.executable, *_PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", into, project)
    return max(into.glob("*.whl"), key=lambda file: file.stat().st_mtime)


def build_wheels(projects: list[Path], into: Path) -> list[Path]:
    """Build the wheels of several projects at once; return their files."""
    _run(sys.executable, *_PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", into, *projects)
    return sorted(into.glob("*.whl"))


def make_overlay(folder: Path) -> Path:
    """Make an overlay environment in `folder`; return its Python."""
    import venv

    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    here = Path(sysconfig.get_path("purelib"))
    site = folder / here.relative_to(sys.prefix)
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    lender = Path(sys.prefix) / "borrowed"  # this environment is an overlay itself
    for entry in (lender if lender.exists() else here).iterdir():
        if not _is_editable(entry):
            (borrowed / entry.name).symlink_to(entry.resolve())
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    return folder / "bin" / "python"


def install(python: Path, *wheels: Path) -> None:
    """Install wheels into an overlay, without their requirements."""
    _run(sys.executable, *_PIP, "--python", python, "install", "--no-deps", "--no-index", "--force-reinstall", *wheels)


_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def _is_editable(entry: Path) -> bool:
    """Tell the traces of an editable install, which would put the checkout on the overlay's path."""
    if entry.name.startswith("__editable__"):
        return True
    url = entry / "direct_url.json"
    return entry.suffix == ".dist-info" and url.exists() and '"editable": true' in url.read_text()


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def main(folder: Path, arguments: list[str]) -> int:
    """Make an overlay with the wheels of both distributions in `folder` and run its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    python = make_overlay(folder)
    finedefics = shutil.copytree(ROOT / "finedefics", folder / "source-finedefics", ignore=NOT_SOURCE)
    projects = [copy_sources(folder / "source"), finedefics]
    install(python, *[build_wheel(project, folder / "wheels") for project in projects])
    return subprocess.run([python, *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python scripts/overlay.py FOLDER [arguments of the overlay's python]")
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
