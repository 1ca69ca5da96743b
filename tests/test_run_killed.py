"""Killed anywhere, a real run resumes and ends with the bytes of one that was not disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from test_run_story import files_of

KILLS = int(os.environ.get("FGVR_TEST_KILLS", "3"))
"""How often each run is killed; ``FGVR_TEST_KILLS=100`` is the long form."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out 120 small photographs of 4 classes, one of them damaged."""
    folder = tmp_path_factory.mktemp("photos")
    draw = random.Random(0)
    for label in ("Dunlin", "Knot", "Ruff", "Sanderling"):
        (folder / label).mkdir()
        for number in range(30):
            picture = Image.new("RGB", (40, 30), tuple(draw.choices(range(256), k=3)))
            picture.putpixel((draw.randrange(40), draw.randrange(30)), (255, 255, 255))
            picture.save(folder / label / f"{number:02}.png")
    (folder / "Knot" / "07.png").write_bytes(b"damaged")
    return folder


def start(photos: Path, results: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fgvr_bench", "run", "--model", "moth-clip", "--dataset", f"folder:{photos}"]
    command += ["--options", "random", "--batch-size", "2", "--device", "cpu", "--results-dir", str(results), *options]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.Popen(command, start_new_session=True, env=environment, stderr=subprocess.PIPE)


def stored(results: Path) -> int:
    return sum(path.read_bytes().count(b'{"q":') for path in results.rglob("parts/*.jsonl"))


def wait_for_answers(process: subprocess.Popen[bytes], results: Path, wanted: int) -> None:
    while process.poll() is None and stored(results) < wanted:
        time.sleep(0.005)


def finish(photos: Path, results: Path, *options: str) -> bytes:
    process = start(photos, results, *options)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return errors


def test_killed_at_random_and_resumed_with_other_workers_and_processes_it_ends_with_the_same_bytes(
    photos: Path, tmp_path: Path
) -> None:
    finish(photos, tmp_path / "undisturbed")
    draw = random.Random(1)
    ways = [
        ("--workers", "0"),
        ("--workers", "2"),
        ("--num-processes", "2", "--workers", "0"),
        ("--num-processes", "2"),
    ]
    killed = tmp_path / "killed"
    for kill in range(KILLS):
        process = start(photos, killed, *ways[kill % len(ways)])
        wait_for_answers(process, killed, stored(killed) + draw.randrange(1, max(2, 110 // KILLS)))
        time.sleep(draw.random() * 0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(photos, killed, "--num-processes", "2")
    assert files_of(killed) == files_of(tmp_path / "undisturbed")
    (run_file,) = killed.rglob("run.json")
    run = json.loads(run_file.read_text())
    assert (run["questions"], run["failed"], run["complete"]) == (120, 1, True)


def test_ctrl_c_finishes_the_batch_saves_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    for attempt in range(5):  # where this process is kept from running meanwhile, it may come too late
        results = tmp_path / str(attempt)
        process = start(photos, results, "--workers", "1")
        wait_for_answers(process, results, 4)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        if process.returncode:
            break
    assert process.returncode == 1, errors.decode()
    assert b"stopped as asked" in errors
    assert b"Type the same command again to go on." in errors
    assert b"Traceback" not in errors
    saved = stored(results)
    assert 4 <= saved < 120
    assert f"{saved} of 120 answers are saved".encode() in errors
    assert f"{saved} answered before".encode() in finish(photos, results)


def test_two_at_once_end_with_one_whole_run(photos: Path, tmp_path: Path) -> None:
    first = start(photos, tmp_path / "both")
    second = start(photos, tmp_path / "both", "--workers", "0")
    for process in (first, second):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    finish(photos, tmp_path / "alone")
    assert files_of(tmp_path / "both") == files_of(tmp_path / "alone")
