"""Distributions to test with: the built wheel in an environment of its own, and small ones made up in a folder."""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import overlay
import pytest

FakePlugin = Callable[..., Path]


@pytest.fixture
def fake_plugin(tmp_path: Path) -> FakePlugin:
    """Return a function that lays out an installed distribution in a folder and returns the folder.

    What importlib.metadata sees of it is what pip would have left there: a module and a ``.dist-info``.
    """
    folder = tmp_path / "site"

    def make(
        name: str, source: str, version: str = "1.0", group: str = "fgvr_bench", points: Mapping[str, str] | None = None
    ) -> Path:
        module = name.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{key} = {value}" for key, value in (points or {name: module}).items()]
        (info / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(lines) + "\n")
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        return folder

    return make


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of fgvr-bench, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    return overlay.build_wheel(overlay.copy_sources(folder / "source"), folder)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment into which the wheel is installed and the checkout does not show."""
    python = overlay.make_overlay(tmp_path_factory.mktemp("overlay") / "environment")
    overlay.install(python, wheel)
    return python


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command away from the checkout, without the paths of this process."""

    def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            list(map(str, command)), cwd=tmp_path, env={**kept, **environment}, capture_output=True, text=True
        )

    return run
