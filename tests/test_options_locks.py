"""Locks: one at a time, over dead holders, without help of the file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fgvr_bench.core import locks
from fgvr_bench.errors import FgvrError

COUNT = """
import sys
from pathlib import Path
from fgvr_bench.core.locks import lock
path = Path(sys.argv[1])
for _ in range(20):
    with lock(path / "lock", "counting", waiting=lambda text: None):
        number = int((path / "number").read_text())
        (path / "number").write_text(str(number + 1))
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "60"
    assert not (tmp_path / "lock").exists()


def test_whoever_waits_is_told_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with (
        locks.lock(path, "mining options of pet-37"),
        pytest.raises(FgvrError, match=f"held by process {os.getpid()} .*, which is mining options of pet-37"),
        locks.lock(path, "mining as well", timeout=0),
    ):
        pass
    said: list[str] = []
    with (
        locks.lock(path, "mining options of pet-37"),
        pytest.raises(FgvrError),
        locks.lock(path, "mining as well", timeout=0.3, waiting=said.append),
    ):
        pass
    assert len(said) == 1
    assert "mining options of pet-37" in said[0]


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from fgvr_bench.core.locks import lock\n"
        "with lock(Path(sys.argv[1]), 'dying'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.wait()
    assert path.exists()
    with locks.lock(path, "living", timeout=5):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


DYING = """
import os, signal, sys
from pathlib import Path
from fgvr_bench.core.locks import lock
left = int(sys.argv[2])
def hook(event, arguments):
    global left
    opened = event == "open" and isinstance(arguments[0], int)  # between making a file and writing it
    if opened or (event in {"open", "os.link", "os.remove"} and sys.argv[1] in str(arguments[0])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
with lock(Path(sys.argv[1], "lock"), "dying", waiting=print):
    print("held", flush=True)
"""


@pytest.mark.parametrize("before", ["", "a dead one's lock lies there"])
def test_killed_anywhere_while_it_takes_a_lock_it_holds_nobody_up(before: str, tmp_path: Path) -> None:
    status, step = -9, 0
    while status == -9:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        if before:
            dead = {"host": locks._host(), "pid": 2**22 + 1, "started": "1", "token": "t", "description": "dead"}
            (folder / "lock").write_text(json.dumps(dead))
        status = subprocess.run([sys.executable, "-c", DYING, str(folder), str(step)], capture_output=True).returncode
        with locks.lock(folder / "lock", "living", timeout=0):
            pass
    assert status == 0
    assert step > 4


def _foreign(path: Path) -> None:
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": None, "token": "t", "description": "far"}))


def test_the_lock_of_another_host_is_respected_while_it_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.4)
    path = tmp_path / "lock"
    _foreign(path)
    os.utime(path, (1, 1))  # clocks differ: age by the other's clock says nothing
    started = time.monotonic()
    with locks.lock(path, "near", waiting=lambda text: None):
        assert time.monotonic() - started > 0.35
    _foreign(path)
    with pytest.raises(FgvrError, match="process 1 on elsewhere"), locks.lock(path, "near", timeout=0):
        pass


def test_a_holder_on_this_host_that_was_stopped_keeps_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.2)
    path = tmp_path / "lock"
    with (
        locks.lock(path, "stopped"),  # it does not beat in the time of this test
        pytest.raises(FgvrError, match=f"held by process {os.getpid()} "),
        locks.lock(path, "waiting", timeout=0.8, waiting=lambda text: None),
    ):
        pass


def test_time_in_which_nobody_looked_is_no_silence_of_the_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock, stood_still = tmp_path / "lock", time.monotonic, 0.0
    monkeypatch.setattr(locks.time, "monotonic", lambda: clock() + stood_still)
    _foreign(path)
    watch = locks._Watch(path)
    assert not watch.is_stale()
    stood_still = 10_000.0  # the file system hung, or all were stopped
    assert not watch.is_stale()


def test_who_breaks_a_lock_is_not_hurried_by_a_clock_that_is_off(tmp_path: Path) -> None:
    path, guard = tmp_path / "lock", tmp_path / f".lock.breaking{locks.HALF}"
    dead = {"host": locks._host(), "pid": 2**22 + 1, "started": "1", "token": "t", "description": "dead"}
    locks.tidy(tmp_path)  # once a folder and process: what is abandoned
    path.write_text(json.dumps(dead))
    _foreign(guard)
    os.utime(guard, (1, 1))
    with pytest.raises(FgvrError), locks.lock(path, "near", timeout=0.3, waiting=lambda text: None):
        pass
    guard.unlink()
    with locks.lock(path, "near", timeout=0):
        pass


def test_a_number_given_to_another_process_is_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.lock(path, "first"):
        fields = json.loads(path.read_text())
    if fields["started"] is None:
        pytest.skip("this system does not tell when a process started")
    path.write_text(json.dumps(fields | {"started": "1"}))
    with locks.lock(path, "second", timeout=0.5):
        pass


def test_the_holder_keeps_the_lock_beating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.05)
    path = tmp_path / "lock"
    with locks.lock(path, "beating"):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 60
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 2


def test_a_failed_holder_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.lock(tmp_path / "lock", "failing"):
        _ = 1 / 0
    with locks.lock(tmp_path / "lock", "next", timeout=0):
        pass


def test_a_lock_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FgvrError, match="cannot write to"), locks.lock(tmp_path / "file" / "lock", "mining"):
        pass
