"""Pull requests with results: strangers' files are data, and what is said of them is text."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from results_pull_request import LIMITS, MARKER, MOST_CHARACTERS, Refused, comment, receive

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
RUN = Path("moth-24", "random", "eb415374f04f")


def workflow(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((WORKFLOWS / name).read_text())
    read["on"] = read.pop(True)  # YAML 1.1 reads "on" as true
    return read


def steps(read: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in read["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", sorted(path.name for path in WORKFLOWS.glob("*.yml")))
def test_actions_are_pinned_by_digest_and_tokens_may_only_read_unless_a_job_says_more(name: str) -> None:
    read = workflow(name)
    for step in steps(read):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}")), step
    assert "pull_request_target" not in read["on"]
    assert read["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in (WORKFLOWS / name).read_text()


@pytest.mark.parametrize("name", ["leaderboard.yml", "leaderboard-comment.yml"])
def test_what_a_stranger_may_name_never_stands_in_a_script(name: str) -> None:
    """``${{ }}`` in a script is put in before the shell reads it: a branch may be called ``$(...)``."""
    for step in steps(workflow(name)):
        assert "${{" not in step.get("run", "")
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_the_job_of_a_pull_request_runs_the_code_of_its_base() -> None:
    read = workflow("leaderboard.yml")
    assert list(read["on"]) == ["pull_request"]
    assert all("permissions" not in job for job in read["jobs"].values())
    checkouts = {step["with"]["path"]: step["with"] for step in steps(read) if "checkout" in step.get("uses", "")}
    assert checkouts["base"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert checkouts["submitted"]["sparse-checkout"] == "results"
    scripts = [line.strip() for step in steps(read) for line in step.get("run", "").splitlines()]
    naming = [line for line in scripts if "submitted" in line]
    assert naming == [
        "python base/scripts/results_pull_request.py receive submitted/results received/results",
        "rm -rf submitted",
    ], "nothing else touches what was submitted"
    programs = [line.split()[0] for line in scripts if "fgvr" in line]
    assert set(programs) == {"../base/.venv/bin/fgvr-bench"}


def test_the_job_that_comments_checks_nothing_out_but_the_default_branch() -> None:
    read = workflow("leaderboard-comment.yml")
    assert list(read["on"]) == ["workflow_run"]
    assert read["on"]["workflow_run"]["workflows"] == [workflow("leaderboard.yml")["name"]]
    (job,) = read["jobs"].values()
    assert job["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert "github.event.workflow_run.event == 'pull_request'" in job["if"]
    (checkout,) = (step for step in job["steps"] if "uses" in step)
    assert set(checkout["with"]) == {"sparse-checkout", "persist-credentials"}, "no ref: the default branch"


@pytest.mark.parametrize("name", ["leaderboard.yml", "leaderboard-comment.yml"])
def test_the_scripts_of_the_workflows_are_shell(name: str) -> None:
    for step in steps(workflow(name)):
        subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, check=True)


def test_a_pull_request_rehearsed(tmp_path: Path) -> None:
    """The scripts of the job as they stand there, on a pull request that adds the run of one model."""
    base, submitted = tmp_path / "base", tmp_path / "submitted"
    shutil.copytree(ROOT / "results", submitted / "results")
    shutil.copytree(ROOT / "results", base / "results")
    shutil.copytree(ROOT / "scripts", base / "scripts")
    (submitted / "results" / "moth-24" / "conftest.py").write_text("raise SystemExit('executed')")
    removed = base / "results" / RUN.parent
    shutil.rmtree(removed)
    (base / ".venv" / "bin").mkdir(parents=True)
    (base / ".venv" / "bin" / "fgvr-bench").write_text(f'#!/bin/sh\nexec {sys.executable} -m fgvr_bench "$@"\n')
    (base / ".venv" / "bin" / "fgvr-bench").chmod(0o755)
    board = ["leaderboard", "build", "results", "--reported", "--output", "results/LEADERBOARD.md"]
    subprocess.run([base / ".venv/bin/fgvr-bench", *board], cwd=base, check=True, capture_output=True)
    told: dict[str, subprocess.CompletedProcess[str]] = {}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for step in steps(workflow("leaderboard.yml")):
        if "run" in step and step["name"] != "Install the base branch":
            script = step["run"].replace(" --published", "")  # which would mine for a minute
            told[step["name"]] = subprocess.run(
                ["bash", "-e", "-c", script],
                cwd=tmp_path / step.get("working-directory", "."),
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
    assert [done.returncode for done in told.values()] == [0, 0, 0, 0], told
    assert "left out: 'moth-24/conftest.py'" in told["Take the files of runs"].stdout
    with zipfile.ZipFile(tmp_path / "leaderboard.zip", "w") as archive:
        for name in ("verify.txt", "board.diff"):
            archive.write(tmp_path / "report" / name, name)
    said = comment(tmp_path / "leaderboard.zip", "success", "https://example.org/log")
    assert f"ok results/{RUN}: random on moth-24, accuracy 24.2 %, 1,200 answers" in said
    assert re.search(r"\n\+\|[^\n]*random", said), "a row that the board would get"


def submit(folder: Path, **files: bytes) -> Path:
    for name, raw in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return folder


def test_only_files_of_runs_are_taken(tmp_path: Path) -> None:
    wanted = {f"{RUN}/run.json", f"{RUN}/responses.jsonl", "reported/mine.jsonl", "LEADERBOARD.md"}
    others = {
        "README.md", "setup.py", f"{RUN}/machine.json", f"{RUN}/deep/run.json", f"{RUN}/run.json.py", "run.json",
        "moth-24/random/notanid/run.json", ".git/config", ".hidden/m/eb415374f04f/run.json",
        "moth-24/a b/eb415374f04f/run.json", "moth-24/random\n/eb415374f04f/run.json", "LEADERBOARD.md\n",
    }  # fmt: skip
    submitted = submit(tmp_path / "s", **dict.fromkeys(wanted | others, b"x"))
    assert set(receive(submitted, tmp_path / "into")) == others
    into = tmp_path / "into"
    assert {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize("kind", ["file", "folder", "results", "dangling", "fifo"])
def test_links_are_refused_and_not_followed(tmp_path: Path, kind: str) -> None:
    secret = submit(tmp_path / "secret", **{"run.json": b"secret"})
    submitted = submit(tmp_path / "s", **{f"{RUN}/responses.jsonl": b"x"})
    place = submitted / RUN / "run.json"
    if kind == "file":
        place.symlink_to(secret / "run.json")
    elif kind == "folder":
        (submitted / "moth-24" / "other").mkdir()
        (submitted / "moth-24" / "other" / ("0" * 12)).symlink_to(secret)
    elif kind == "dangling":
        place.symlink_to("/nowhere")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        (tmp_path / "link").symlink_to(submitted)
        submitted = tmp_path / "link"
    with pytest.raises(Refused):
        receive(submitted, tmp_path / "into")
    assert not any(path.read_bytes() == b"secret" for path in (tmp_path / "into").rglob("*") if path.is_file())


def test_files_that_are_too_large_are_refused(tmp_path: Path) -> None:
    submitted = submit(tmp_path / "s", **{f"{RUN}/run.json": b"x"})
    os.truncate(submitted / RUN / "run.json", 1 + next(iter(LIMITS.values())))  # sparse: it takes no room
    with pytest.raises(Refused, match="2,097,152 are taken"):
        receive(submitted, tmp_path / "into")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "results_pull_request.py", "receive", submitted, tmp_path / "into"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("Refused: ")


def archive_of(folder: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return folder / "a.zip"


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("`~\n\r\u202e\x1b\x00<>@#![]() a\u2028|"), max_size=80))
def test_no_text_gets_out_of_its_block(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("comment")
    said = comment(archive_of(folder, **{"verify.txt": text.encode()}), "failure", "https://example.org")
    lines = said.split("\n")
    assert "".join(lines).isprintable()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    if fences:
        first = lines[fences[0]]
        assert lines.count(first) == 2, "the one that opens and the one that closes"
        assert all(first not in line for line in lines[fences[0] + 1 : fences[-1]])
        assert lines[fences[-1]] == first
    assert lines[0] == MARKER


def test_a_comment_is_never_longer_than_it_may_be(tmp_path: Path) -> None:
    bomb = b"`" * 20_000 + b"\n" + b"x" * 50_000_000
    archive = archive_of(tmp_path, **{"verify.txt": bomb, "board.diff": bomb, "../../evil.txt": b"x"})
    assert archive.stat().st_size < 1_000_000
    said = comment(archive, "failure", "https://example.org")
    assert len(said) < 65_536
    plain = archive_of(tmp_path, **{"verify.txt": b"x" * 10**6, "board.diff": b"y" * 10**6})
    said = comment(plain, "failure", "https://example.org")
    assert 2 * MOST_CHARACTERS < len(said) < 65_536
    assert "(cut; the log has all)" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"], "nothing is unpacked"


@pytest.mark.parametrize("raw", [None, b"", b"PK\x03\x04 no archive"])
def test_without_an_archive_the_comment_says_how_the_check_ended(tmp_path: Path, raw: bytes | None) -> None:
    if raw is not None:
        (tmp_path / "a.zip").write_bytes(raw)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "results_pull_request.py", "comment", tmp_path / "a.zip", "failure", "u"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "The check ended with failure." in json.loads(done.stdout)["body"]


def test_hooks_for_other_repositories_name_commands_that_exist(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from fgvr_bench.cli.main import fgvr_bench

    shutil.copytree(ROOT / "results", tmp_path / "results")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["fgvr-results", "fgvr-leaderboard"]
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert program == "fgvr-bench"
        files = [str(tmp_path / "results" / RUN / "run.json")] if hook.get("pass_filenames", True) else []
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            done = CliRunner().invoke(fgvr_bench, [*words, *files])
        assert done.exit_code == 0, done.output
    assert re.search(hooks[0]["files"], f"results/{RUN}/run.json")
