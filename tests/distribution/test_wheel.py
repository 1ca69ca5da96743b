"""What is built and installed is what the checkout is, and it works away from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import overlay
import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]

WITHOUT_CHECKOUT = ["tests/distribution/test_plugins.py", "tests/test_run_story.py"]
"""Tests to run once more against the wheel (`make test-wheel` runs all)."""


def package_files(source: Path) -> set[str]:
    """Return every file of the three packages as a wheel names it."""
    roots = [source / "harness", source / "plugins" / "models", source / "plugins" / "datasets"]
    return {file.relative_to(root).as_posix() for root in roots for file in root.rglob("*") if file.is_file()}


def contents(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    expected = package_files(wheel.parent / "source")
    assert {"fgvr_bench/py.typed", "fgvr_bench/types.py", "fgvr_models/__init__.py"} <= expected
    assert contents(wheel) == expected


def test_the_wheel_stays_small(wheel: Path) -> None:
    # tiny models and digests travel with it, data and results do not
    assert wheel.stat().st_size < 14_000_000


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    source = shutil.copytree(wheel.parent / "source", tmp_path / "source", ignore=overlay.NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path, source]
    subprocess.run(command, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    [project] = (tmp_path / "unpacked").iterdir()
    assert contents(overlay.build_wheel(project, tmp_path / "again")) == contents(wheel)


def test_the_installed_package_is_not_the_checkout(installed: Path, call: Call) -> None:
    code = "import fgvr_bench, fgvr_models, fgvr_datasets, torch; print(*(m.__file__ for m in ({})), sep='\\n')"
    shown = call(installed, "-c", code.format("fgvr_bench, fgvr_models, fgvr_datasets, torch"))
    files = [Path(line) for line in shown.stdout.splitlines()]
    assert len(files) == 4, shown.stderr
    assert all(file.is_relative_to(installed.parent.parent) for file in files)
    assert not any(file.is_relative_to(overlay.ROOT) for file in files)


@pytest.mark.parametrize("command", ["--help", "--version", "models", "datasets", "plugins"])
def test_the_installed_command_answers(command: str, installed: Path, call: Call) -> None:
    shown = call(installed.parent / "fgvr-bench", command)
    assert shown.returncode == 0, shown.stderr
    assert "Warning" not in shown.stderr
    assert len(shown.stdout.splitlines()) >= 1


def test_every_bundled_plugin_loads_from_the_wheel(installed: Path, call: Call) -> None:
    code = "from fgvr_bench.core.host import host; print([i.error for i in host().problems()], len(host().plugins))"
    problems, _, count = call(installed, "-c", code).stdout.rpartition(" ")
    assert problems == "[]"
    assert int(count) >= 4


def test_the_benchmark_comes_without_the_training(installed: Path, call: Call) -> None:
    refused = call(installed.parent / "fgvr-bench", "finedefics", "--help")
    assert refused.returncode == 2
    assert "there is no command 'finedefics'" in refused.stderr


def test_the_installed_benchmark_runs(installed: Path, call: Call, tmp_path: Path) -> None:
    command = [installed.parent / "fgvr-bench", "run", "--model", "always-a", "--dataset", "moth-24", "--limit", "24"]
    done = call(*command, "--options", "random", "--results-dir", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "results").glob("moth-24/always-a/*/run.json")
    answers = [line for part in (run.parent / "parts").iterdir() for line in part.read_text().splitlines()]
    assert len(answers) >= 24


def test_tests_pass_against_the_wheel(installed: Path) -> None:
    # In the checkout, because the tests lie there; that the package does not come from it, the test above says.
    command = [installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *WITHOUT_CHECKOUT]
    done = subprocess.run(command, cwd=overlay.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


def test_finedefics_is_a_distribution_of_its_own(installed: Path, call: Call, tmp_path: Path) -> None:
    project = Path(shutil.copytree(overlay.ROOT / "finedefics", tmp_path / "finedefics", ignore=overlay.NOT_SOURCE))
    own = {file.relative_to(project / "src").as_posix() for file in (project / "src").rglob("*") if file.is_file()}
    wheel = overlay.build_wheel(project, tmp_path)
    assert contents(wheel) == own
    python = overlay.make_overlay(tmp_path / "environment")
    overlay.install(python, wheel)
    code = "import finedefics, pathlib; print(pathlib.Path(finedefics.__file__).is_relative_to({!r}))"
    for folder in (overlay.ROOT, tmp_path):  # the first holds a folder of the package's name
        asked = subprocess.run(
            [python, "-c", code.format(str(tmp_path))], cwd=folder, capture_output=True, text=True, check=True
        )
        assert asked.stdout == "True\n"


def test_an_overlay_of_an_overlay_borrows_the_same_and_nothing_installed(installed: Path, tmp_path: Path) -> None:
    code = "import overlay, pathlib, sys; print(overlay.make_overlay(pathlib.Path(sys.argv[1])))"
    scripts = overlay.ROOT / "scripts"
    made = subprocess.run(
        [installed, "-c", code, tmp_path / "second"], cwd=scripts, capture_output=True, text=True, check=True
    )
    first, second = (folder / "borrowed" for folder in (installed.parent.parent, tmp_path / "second"))
    assert Path(made.stdout.strip()) == tmp_path / "second" / "bin" / "python"
    assert sorted(entry.name for entry in first.iterdir()) == sorted(entry.name for entry in second.iterdir())
    assert not any(entry.name.startswith(("fgvr_", "finedefics")) for entry in first.iterdir())
