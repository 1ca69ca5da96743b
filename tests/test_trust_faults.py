"""Whole commands on full, read-only and lying file systems, two at once, and interrupted by Ctrl-C at any moment."""

from __future__ import annotations

import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from test_run_story import files_of

MOMENTS = int(os.environ.get("FGVR_TEST_KILLS", "3"))
MOUNTS = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)
"""Whether this user may mount file systems of their own."""
Running = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    for label in ("Dunlin", "Knot", "Ruff"):
        (folder / label).mkdir()
        for number in range(20):
            Image.new("RGB", (9, 9), (10 * number, 9, 9)).save(folder / label / f"{number}.png")
    return folder


def words(photos: Path, results: Path, *more: str) -> list[str]:
    command = ["run", "-m", "random", "-d", f"folder:{photos}", "--options", "random", "--results-dir", str(results)]
    return [sys.executable, "-m", "fgvr_bench", *command, *more]


def ended(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **how)  # type: ignore[call-overload]
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    return done  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ended(words(photos, folder)).returncode == 0
    return files_of(folder)


# --- full, read-only, failing -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [200, 3_000, 7_000])
def test_a_disk_that_takes_no_more_stops_the_run_in_words_and_it_goes_on_when_there_is_room(
    size: int, photos: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    assert ended(words(photos, tmp_path / "warm")).returncode == 0  # so that the caches are there
    bound = (size, size)
    full = ended(words(photos, tmp_path / "r"), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, bound))
    assert full.returncode == 1
    assert "File too large" in full.stderr
    assert "Free some space" in full.stderr
    assert ended(words(photos, tmp_path / "r")).returncode == 0
    assert files_of(tmp_path / "r") == undisturbed


@pytest.mark.skipif(not MOUNTS, reason="this user may not mount a file system")
def test_on_a_small_file_system_the_run_stops_in_words_and_goes_on_elsewhere(
    photos: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    script = f"""
mount -t tmpfs -o size=24k none {small}
{shlex.join(words(photos, small))} ; echo "status $?"
cp -r {small} {kept}
"""
    done = ended(["unshare", "-m", "sh", "-c", script])
    assert "status 1" in done.stdout, done.stderr
    assert "No space left on device" in done.stderr
    assert ended(words(photos, kept)).returncode == 0
    assert files_of(kept) == undisturbed


@pytest.mark.skipif(not MOUNTS, reason="this user may not mount a file system")
@pytest.mark.parametrize("what", ["results", "cache", "board", "options"])
def test_a_read_only_folder_is_named(what: str, photos: Path, tmp_path: Path) -> None:
    still = tmp_path / "still"
    still.mkdir()
    own = [sys.executable, "-m", "fgvr_bench"]
    command = {
        "results": words(photos, still / "r"),
        "cache": words(photos, tmp_path / "r"),
        "board": [*own, "leaderboard", "build", str(tmp_path / "r"), "--output", f"{still}/b.md"],
        "options": [
            *own,
            "options",
            "build",
            "-d",
            f"folder:{photos}",
            "--miner",
            "random",
            "--out",
            f"{still}/o.jsonl",
        ],
    }[what]
    (tmp_path / "r").mkdir()
    environment = {**os.environ, **({"FGVR_CACHE": str(still)} if what == "cache" else {})}
    script = f"mount --bind {still} {still}; mount -o remount,bind,ro {still}; exec {shlex.join(command)}"
    done = ended(["unshare", "-m", "sh", "-c", script], env=environment)
    assert done.returncode == 1, done.stdout
    assert "Read-only file system" in done.stderr
    assert str(still) in done.stderr


# What Python does before the command starts: a file system that lies, for all that this process does.
LIES = {
    "fsync fails": """
real, count = os.fsync, []
def lie(descriptor):
    count.append(descriptor)
    if len(count) > 2:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    real(descriptor)
os.fsync = lie""",
    "no locks (ENOLCK)": """
import fcntl
def lie(*_): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = fcntl.lockf = fcntl.fcntl = lie""",
    "no locks (ENOSYS)": """
import fcntl
def lie(*_): raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = fcntl.lockf = lie""",
    "no links": """
def lie(*_, **__): raise PermissionError(errno.EPERM, "Operation not permitted")
os.link = lie""",
    "no times": """
def lie(*_, **__): raise PermissionError(errno.EPERM, "Operation not permitted")
os.utime = lie""",
    "no modes": """
def lie(*_, **__): raise PermissionError(errno.EPERM, "Operation not permitted")
os.chmod = lie""",
}


def lying(lie: str, command: list[str]) -> list[str]:
    start = f"import errno, os, sys\n{LIES[lie]}\nfrom fgvr_bench.entry import main\nsys.argv[0] = 'fgvr-bench'\nmain()"
    return [sys.executable, "-c", start, *command[3:]]


@pytest.mark.parametrize("lie", LIES)
def test_on_a_file_system_that_lies_the_run_ends_right_or_stops_in_words_and_goes_on(
    lie: str, photos: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    first = ended(lying(lie, words(photos, tmp_path)))
    if lie == "fsync fails":
        assert first.returncode == 1
        assert "Input/output error" in first.stderr
    if first.returncode:
        assert "cannot write" in first.stderr
        assert ended(words(photos, tmp_path)).returncode == 0
    assert files_of(tmp_path) == undisturbed


# --- two at once ------------------------------------------------------------------------------------


def together(*commands: list[str]) -> list[str]:
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for command in commands]
    said = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), said
    return said


def test_three_at_once_on_a_run_end_with_one_run(photos: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    together(*[words(photos, tmp_path)] * 2, lying("no locks (ENOLCK)", words(photos, tmp_path)))
    assert files_of(tmp_path) == undisturbed


def test_two_at_once_on_an_option_set_a_board_and_scores_both_end_right(photos: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "fgvr_bench", "options", "build", "-d", f"folder:{photos}", "--miner", "random"]
    together([*build, "--out", str(tmp_path / "a.jsonl")], [*build, "--out", str(tmp_path / "b.jsonl")])
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    results = tmp_path / "r"
    assert ended(words(photos, results)).returncode == 0
    before = files_of(results)
    board = [
        sys.executable,
        "-m",
        "fgvr_bench",
        "leaderboard",
        "build",
        str(results),
        "--output",
        str(tmp_path / "b.md"),
    ]
    score = [sys.executable, "-m", "fgvr_bench", "score", str(results), "--write"]
    together(board, board, score, score)
    assert "random" in (tmp_path / "b.md").read_text()
    assert files_of(results) == before


def test_the_lock_of_the_dead_holds_nobody_up(photos: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    assert ended(words(photos, tmp_path, "--limit", "4")).returncode == 0
    [run] = list(tmp_path.rglob("run.json"))
    holder = subprocess.Popen([sys.executable, "-c", "pass"])
    holder.wait()
    from fgvr_bench.core.locks import _host

    lock = run.parent.parent / f".{run.parent.name}.lock"
    lock.write_text(json.dumps({"host": _host(), "pid": holder.pid, "started": "1", "token": "t", "description": "d"}))
    done = ended(words(photos, tmp_path))
    assert done.returncode == 0
    assert "waiting for" not in done.stderr
    assert files_of(tmp_path) == undisturbed


# --- Ctrl-C -----------------------------------------------------------------------------------------


def interrupt(process: Running, group: bool) -> None:
    try:
        os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGINT)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("group", [False, True], ids=["the process", "its group"])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_at_any_moment_nothing_but_words_is_shown_and_it_goes_on(
    times: int, group: bool, photos: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    draw = random.Random(f"{times} {group}")
    for _ in range(MOMENTS):
        process = subprocess.Popen(
            words(photos, tmp_path, "--num-processes", draw.choice("12")), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        _wait_for_python(process)
        time.sleep(draw.choice([0.0, 0.02, 0.1, 0.3, 1.0, 2.0]) * draw.random())
        for _ in range(times):
            interrupt(process, group)
            time.sleep(draw.random() * 0.05)
        _, errors = process.communicate(timeout=300)
        assert b"Traceback" not in errors
        assert b"Exception ignored" not in errors, errors.decode()
        # 130: ended at once.  1: after the batch at hand.  -2: the second one came while Python took itself down.
        assert process.returncode in {0, 1, 130, -signal.SIGINT}, errors.decode()
    assert ended(words(photos, tmp_path)).returncode == 0
    assert files_of(tmp_path) == undisturbed


def _wait_for_python(process: Running) -> None:
    """Wait until Python itself has started: before that, nothing of ours runs that could answer."""
    ends = time.monotonic() + 10
    while time.monotonic() < ends and process.poll() is None:
        caught = Path(f"/proc/{process.pid}/status").read_text().partition("SigCgt:")[2].split()
        if caught and int(caught[0], 16) & 2 and "_json" in Path(f"/proc/{process.pid}/maps").read_text():
            return  # the command's own modules are being imported
        time.sleep(0.002)
