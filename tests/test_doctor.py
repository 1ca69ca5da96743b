"""``fgvr-bench doctor``: what is broken is named with its fix, and what is whole is not."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import Registration, ToyModel, toy_host

from fgvr_bench.cli.doctor import _variables
from fgvr_bench.cli.main import COMMANDS
from fgvr_bench.core import checkup_caches, checkup_libraries, checkup_torch
from fgvr_bench.core.checkup import Finding, State, examine
from fgvr_bench.core.checkup_data import look_at_data
from fgvr_bench.core.checkup_environment import look_at_environment
from fgvr_bench.core.checkup_machine import look_at_machine
from fgvr_bench.core.checkup_plugins import look_at_plugins
from fgvr_bench.core.host import host
from fgvr_bench.core.locks import lock
from fgvr_bench.core.option_files import write_options
from fgvr_bench.types import Options


def doctor(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fgvr_bench", "doctor", *words]
    return subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)


def wrong(findings: Any) -> list[Finding]:
    return [finding for finding in findings if finding.state is State.WRONG]


def said(findings: Any) -> str:
    return "\n".join(f"{finding.text} {finding.fix or ''}" for finding in findings)


def test_this_installation_is_whole_and_the_report_is_json(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--format", "json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["wrong"], done.stderr) == (0, 0, ""), done.stdout
    assert {"libraries", "torch", "machine", "data", "caches", "plugins"} <= {
        finding["area"] for finding in report["findings"]
    }
    assert list(tmp_path.iterdir()) == [], "a look changes nothing"


def test_what_is_wrong_is_named_with_its_fix_and_ends_with_one(tmp_path: Path) -> None:
    done = doctor(tmp_path, FGVR_RUN_LIMT="3", FGVR_DATA=str(tmp_path / "nowhere"), FGVR_OFFLINE="on")
    assert done.returncode == 1
    assert "FGVR_RUN_LIMT is set, and nothing reads it.\n        → Did you mean FGVR_RUN_LIMIT?" in done.stdout
    assert f"FGVR_DATA names {tmp_path / 'nowhere'}, which is no folder." in done.stdout
    assert "FGVR_OFFLINE is neither 1 nor 0" in done.stdout
    assert "3 things have to be mended." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_look_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    def breaks() -> Iterator[Finding]:
        raise RuntimeError("no\nmatter")
        yield

    found = examine([("one", breaks), ("two", lambda: [Finding("two", State.GOOD, "fine")])])
    assert [(finding.area, finding.state) for finding in found] == [("one", State.WRONG), ("two", State.GOOD)]
    assert "RuntimeError: no matter" in found[0].text


def test_a_library_that_is_old_absent_or_there_twice_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions = {"torch": "1.0", "pillow": None}
    real = checkup_libraries._version_of
    monkeypatch.setattr(checkup_libraries, "_version_of", lambda name: versions.get(name, real(name)))
    texts = said(wrong(checkup_libraries.look_at_libraries()))
    assert 'torch 1.0 is installed; fgvr-bench requires torch>=2.11. pip install --upgrade "torch>=2.11"' in texts
    assert "pillow is absent" in texts
    assert "numpy" not in texts
    (tmp_path / "click-0.1.dist-info").mkdir()
    (tmp_path / "click-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: click\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert f"click is installed twice: 0.1 in {tmp_path}" in said(wrong(checkup_libraries.look_at_libraries()))


def test_code_of_another_version_than_the_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup_libraries, "__version__", "9.9")
    installed = importlib.metadata.version("fgvr-bench")
    assert f"fgvr-bench 9.9 runs, but the installation says it is {installed}" in said(
        wrong(checkup_libraries.look_at_libraries())
    )


WHOLE = {"version": "2.13", "built_for": "13.0", "gpus": [["H", 80e9, 79e9, [9, 0]]], "mps": False, "operators": True}


@pytest.mark.parametrize(
    ("change", "driver", "words"),
    [
        ({"gpus": [], "built_for": None}, True, "built for the CPU"),
        ({"gpus": []}, True, "finds no GPU"),
        ({"gpu_error": "CUDA error: out of memory"}, True, "the GPU does not work: CUDA error: out of memory"),
        ({"operators": None}, True, "torchvision cannot be imported"),
        ({"gpus": [], "built_for": None}, False, None),
        ({}, True, None),
    ],
)
def test_what_torch_says_is_judged(
    change: dict[str, Any], driver: bool, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup_torch, "has_gpu_driver", lambda: driver)
    problems = wrong(checkup_torch.judge({**WHOLE, **change}))
    assert [finding.text for finding in problems if words is None] == []
    assert words is None or words in said(problems)
    assert all(problem.fix for problem in problems)


@pytest.mark.parametrize(
    ("script", "words"),
    [("raise ImportError('libcudart.so.13: no such file')", "libcudart.so.13"), ("import os; os.abort()", "status -6")],
)
def test_a_torch_that_cannot_be_imported_or_crashes_is_a_finding(
    script: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup_torch, "ASK", script)
    [problem] = checkup_torch.ask_torch().findings()
    assert "torch cannot be imported" in problem.text
    assert words in problem.text


def test_a_torch_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup_torch, "ASK", "import time; time.sleep(60)")
    monkeypatch.setattr(checkup_torch, "PATIENCE", 0.3)
    begun = time.monotonic()
    [problem] = checkup_torch.ask_torch().findings()
    assert "does not start" in problem.text
    assert time.monotonic() - begun < 20


def test_folders_without_room_or_rights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path / "taken" / "below"))
    assert f"{tmp_path / 'taken'}, where the cache would be kept, is no folder" in said(
        wrong(look_at_machine(tmp_path))
    )
    monkeypatch.setenv("FGVR_CACHE", "/proc/here")
    assert "the cache cannot be written to /proc/here" in said(wrong(look_at_machine(tmp_path)))
    assert not (tmp_path / "results").exists()


def test_damaged_caches_and_locks_of_the_dead_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Path(os.environ["FGVR_CACHE"])
    whole = cache / "options" / "toy" / "whole.jsonl"
    header = {"dataset": "toy", "split": "test", "labels": ["Knot", "Ruff"]}
    write_options(whole, header, [Options(f"toy/test/{number}", ("Knot", "Ruff")) for number in range(3)])
    assert wrong(checkup_caches.look_at_caches(tmp_path)) == []
    cut = cache / "options" / "toy" / "cut.jsonl"
    cut.write_bytes(whole.read_bytes()[:-40])
    embeddings = cache / "embeddings" / "x.f32"
    embeddings.parent.mkdir(parents=True)
    embeddings.write_bytes(b"12345")
    embeddings.with_suffix(".json").write_text('{"dimensions": 4, "complete": true, "unreadable": {}}')
    (cache / "last-error.txt").write_text("Traceback\nValueError: x")
    (tmp_path / "run.lock").write_text(json.dumps({"host": "h", "pid": 1, "description": "running far away"}))
    with lock(tmp_path / ".mine.lock", "looking"):
        found = list(checkup_caches.look_at_caches(tmp_path))
    assert sorted(finding.fix.split()[1] for finding in wrong(found) if finding.fix) == [str(embeddings), str(cut)]
    texts = said(found)
    assert "ValueError: x" in texts
    assert f"{tmp_path / 'run.lock'} is held by process 1 on h, which is running far away" in texts
    assert f"held by process {os.getpid()}" in texts
    holder = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from fgvr_bench.core.locks import *; from pathlib import Path\n"
            f"with lock(Path({str(tmp_path / 'dead.lock')!r}), 'dying'): os._exit(1)",
        ],
        check=False,
    )
    assert holder.returncode == 1
    assert "is a lock of process" in said(checkup_caches.look_at_caches(tmp_path))


def test_a_file_system_without_exclusive_creation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *rest: real(path, flags & ~os.O_EXCL, *rest))
    assert f"locks do not work in {tmp_path}" in said(wrong(checkup_caches._locks(tmp_path)))


def test_data_that_is_fetched_in_part_is_remarked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVR_DATA", str(tmp_path))
    (tmp_path / "pet-37" / ".downloads").mkdir(parents=True)
    (tmp_path / "pet-37" / ".downloads" / "images.tar.gz.part").write_bytes(b"x")
    texts = said(look_at_data(host()))
    assert "pet-37 is fetched in part" in texts
    assert "fgvr-bench datasets fetch pet-37" in texts


def test_broken_shadowed_and_disabled_plugins_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy_host([ToyModel("same")])
    made.add(Registration([ToyModel("same")]), "second", "second-dist", "2.0")
    monkeypatch.setenv("FGVR_DISABLE", "finedefix")
    texts = said(wrong(look_at_plugins(made, COMMANDS)))
    assert "'same' is claimed by" in texts
    assert "FGVR_DISABLE=second-dist" in texts
    assert "FGVR_DISABLE names 'finedefix', and no plugin is called so. Did you mean finedefics" in texts


def test_every_option_of_every_command_has_a_variable_of_its_own_name_and_keys_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = _variables()
    assert {"FGVR_RUN_MODEL", "FGVR_DATASETS_FETCH_DATA_ROOT", "FGVR_OPTIONS_BUILD_MINER_ARG"} <= known
    monkeypatch.setenv("FGVR_API_KEY", "sk-secret")
    monkeypatch.setenv("FGVR_API_KEYS", "sk-secret")
    assert "secret" not in said(look_at_environment(known))


def test_a_variable_of_a_command_below_a_group_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fgvr_bench", "datasets", "fetch", "pet-37"]
    (tmp_path / "taken").write_text("")
    environment = {**os.environ, "FGVR_DATASETS_FETCH_DATA_ROOT": str(tmp_path / "taken"), "FGVR_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert str(tmp_path / "taken") in done.stderr
    assert "defect" not in done.stderr
