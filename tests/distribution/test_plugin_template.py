"""The template is a plugin from outside: built, installed beside the wheel, found and run as any other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import overlay
import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]

TEMPLATE = overlay.ROOT / "examples" / "fgvr-plugin-template"


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel and the template, as its README has them installed."""
    folder = tmp_path_factory.mktemp("template")
    project = Path(shutil.copytree(TEMPLATE, folder / "project", ignore=overlay.NOT_SOURCE))
    python = overlay.make_overlay(folder / "environment")
    overlay.install(python, wheel, overlay.build_wheel(project, folder))
    return python


def test_the_lists_show_what_the_template_brings(outside: Path, call: Call) -> None:
    program = outside.parent / "fgvr-bench"
    for command, line in [("models", "nearest-colour"), ("datasets", "paint-6"), ("plugins", "fgvr-plugin-template")]:
        shown = call(program, command)
        assert shown.returncode == 0, shown.stderr
        assert "Warning" not in shown.stderr
        assert line in shown.stdout


def test_the_templates_own_tests_pass_where_it_is_installed(outside: Path, call: Call, tmp_path: Path) -> None:
    tests = shutil.copytree(TEMPLATE, tmp_path / "checkout", ignore=shutil.ignore_patterns("src", "__pycache__"))
    done = call(outside, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_without_the_template_its_names_are_unknown(installed: Path, call: Call) -> None:
    refused = call(installed.parent / "fgvr-bench", "run", "-m", "nearest-colour", "-d", "paint-6")
    assert refused.returncode == 2
    assert "there is no model 'nearest-colour'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_readme_of_the_template_names_every_file_it_has() -> None:
    readme = (TEMPLATE / "README.md").read_text()
    files = [path for path in TEMPLATE.rglob("*.py") if path.name != "__init__.py"]
    missing = [path for path in files if path.relative_to(TEMPLATE).as_posix() not in readme]
    assert len(files) >= 3
    assert missing == []
