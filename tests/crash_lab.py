"""Kills a piece of work before any of its steps on files, or lets that step fail, and looks at what is left.

    python tests/crash_lab.py FOLDER WORK TRIALS WAY ...

One process imports everything and forks a child for each trial.  In the child an audit hook counts what it does to
files (open to write, rename, remove, make a folder, sync); at one of these steps it is killed (``kill``), or the step
raises an error of the system (``ENOSPC``, ``EIO`` ...).  ``moment`` kills it at a moment of its time instead.  Then a
second child goes on and is disturbed in the same way, a third one does the work to its end, and the parent compares.
TRIALS moments are tried, and as many steps, at most each once.  Prints a JSON object a way with the number of
disturbances, and a sentence for each promise that was broken; appends it to ``FGVR_TEST_REPORT`` too.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from test_run_story import files_of
from toy import Script, ToyModel, ToyPlugin, toy_host

import fgvr_bench
from fgvr_bench import hookimpl
from fgvr_bench.core import files, locks, parts
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.errors import FgvrError

EVENTS = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}
NOT_COMPARED = re.compile(r"cache/.*\.lock|cache/runs\.sqlite.*")
"""Locks of the dead in caches, which hold nobody up, and what a database makes of the same rows."""
PATIENCE = 300
"""Seconds after which a trial hangs; the lab's locks of unknown holders are never taken for stale before."""
LONG = os.environ.get("FGVR_TEST_KILLS")
"""Trials of each way in the long form, which knows more errors too."""
REPORT = os.environ.get("FGVR_TEST_REPORT")
"""File to append the numbers of trials to."""
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT")}


class Trap:
    """Counts steps on files below a folder; springs at one of them."""

    def __init__(self) -> None:
        self.folder, self.at, self.way, self.count, self.sprung = "", 0.0, "", 0, False
        self._fsync = os.fsync

    def set(self, folder: Path, at: float, way: str) -> None:
        if way == "moment":
            self.sprung = True
            signal.setitimer(signal.ITIMER_REAL, at)  # the default action of its signal ends the process
            return
        self.folder, self.at, self.way = str(folder), at, way
        os.fsync = self._synced

    def _synced(self, descriptor: int) -> None:
        self._step()
        self._fsync(descriptor)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        within = event in {"os.remove", "os.rmdir"} and arguments[1] != -1  # of a folder that is held open
        if within or ((writes or event in EVENTS) and str(arguments[0]).startswith(self.folder)):
            self._step()

    def _step(self) -> None:
        self.count += 1
        if self.count != self.at:
            return
        self.sprung = True
        if self.way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(ERRORS[self.way], os.strerror(ERRORS[self.way]))


class Slow(Script):
    """Leaves the disk time to keep up, so that answers are announced on the way."""

    def respond(self, prompts: Any, batch: Any) -> Any:
        time.sleep(0.003)
        return super().respond(prompts, batch)


class Announcer:
    """Writes the id of every answer that is announced as done to a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    @hookimpl
    def answer_scored(self, question: Any) -> None:
        os.write(self.pipe, f"{question.question_id}\n".encode())


def work_run(folder: Path, pipe: int) -> None:
    """Run a toy model on forty questions, one image of them damaged."""
    host = toy_host([ToyModel("oracle", Slow())], [ToyPlugin(broken=frozenset({"Amber/0003"}))])
    host.add(Announcer(pipe), "announcer")
    fgvr_bench.evaluate("oracle", "toy", plugins=host, workers=0, results_dir=folder / "results")


def work_mine(folder: Path, pipe: int) -> None:
    """Mine the options of drawn pictures with a tiny encoder."""
    from option_toys import Pictures

    from fgvr_bench.core.options import find_or_build
    from fgvr_bench.interfaces import MiningSettings

    pictures = Pictures(folder.parent / "pictures", folder.parent / "clip")
    settings = MiningSettings(k=4, device="cpu", batch_size=4, workers=0)
    find_or_build(pictures, "test", "clip", settings)


def work_score(folder: Path, pipe: int) -> None:
    """Put the right figures into a run that has wrong ones."""
    from fgvr_bench.core.rescoring import rescore, write_scores

    [run_file] = folder.rglob("run.json")
    write_scores(rescore(toy_host(), run_file.parent))


def work_board(folder: Path, pipe: int) -> None:
    """Bring a page with a board up to date."""
    from fgvr_bench.cli.main import fgvr_bench as commands

    words = ["leaderboard", "build", str(folder / "results"), "--output", str(folder / "board.md")]
    commands.main(words, standalone_mode=False)


def work_train(folder: Path, pipe: int) -> None:
    """Train three steps of stage I with a checkpoint each, of which two are kept."""
    from finedefics.launching import Conduct
    from finedefics.stages import align

    conduct = Conduct(save_every=1, log_every=1, keep=2)
    small = {"batch_size": 4, "per_device": 2, "max_steps": 3, "warmup_steps": 1, "method": "lora"}
    given = folder.parent / "rows" / "pretrain.csv", folder.parent / "base"
    align(*given, output=folder / "run", device="cpu", conduct=conduct, **small)


WORKS: dict[str, Callable[[Path, int], None]] = {
    "run": work_run,
    "mine": work_mine,
    "score": work_score,
    "board": work_board,
    "train": work_train,
}


def prepare(work: str, base: Path) -> None:
    """Lay out what a piece of work starts from, in ``base/start``."""
    start = base / "start"
    start.mkdir(parents=True)
    if work == "mine":
        import tiny
        from option_toys import draw_pictures

        (base / "clip").mkdir()
        tiny.clip(base / "clip")
        draw_pictures(base / "pictures", 13, base / "clip")
    elif work in {"score", "board"}:
        in_child(lambda: work_run(start, os.open(os.devnull, os.O_WRONLY)), start)
        [run_file] = start.rglob("run.json")
        if work == "score":
            run_file.write_text(re.sub('"accuracy": [0-9.]+', '"accuracy": 0.5', run_file.read_text()))
        else:
            (start / "board.md").write_text("before\n\n<!-- leaderboard:start -->\n<!-- leaderboard:end -->\n\nafter\n")


def left_in(folder: Path) -> dict[str, bytes]:
    """Return what lies below a folder, as far as it is compared."""
    return {name: data for name, data in files_of(folder).items() if not NOT_COMPARED.fullmatch(name)}


def in_child(work: Callable[[], None], folder: Path, patience: float = PATIENCE) -> tuple[int, str]:
    """Do the work in a forked child with caches below `folder`; return its status and what went wrong in words."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status, words = 1, ""
        try:
            os.environ["FGVR_CACHE"] = str(folder / "cache")
            os.close(reader)
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            os.dup2(devnull, 2)
            work()
            status = 0
        except FgvrError as error:
            status, words = 3, str(error)
        except BaseException:
            words = traceback.format_exc()
        TRAP.folder = ""
        os.write(writer, words.encode()[-4000:])
        os._exit(status)
    os.close(writer)
    ends = time.monotonic() + patience
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 124, "it hung"
        time.sleep(0.002)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        return os.waitstatus_to_exitcode(status), pipe.read().decode()


def answered(folder: Path) -> list[str]:
    """Return the ids of all whole answers on disk."""
    found = []
    for path in [*folder.rglob("parts/*.jsonl"), *folder.rglob("responses.jsonl")]:
        lines = [line for line in path.read_bytes().split(b"\n")[:-1] if b'"question_id"' in line]
        found += [json.loads(line)["question_id"] for line in lines]
    return found


def trial(work: str, way: str, at: float, base: Path, due: dict[str, bytes]) -> tuple[int, list[str]]:
    """Disturb the work at a step or moment, and what goes on with it at another; then let it end.

    Returns:
        How often it came to that, and which promises were broken.
    """
    folder = base / f"{work}-{way}-{at}"
    shutil.copytree(base / "start", folder)
    before = left_in(folder)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    made, broken = 0, []
    for point in (at, random.Random(at).uniform(0, at) if way == "moment" else random.Random(at).randint(1, int(at))):
        status, words = in_child(lambda point=point: disturbed(work, folder, way, point, writer), folder)
        if status == 77 or (way == "moment" and status == 0):
            break
        made += 1
        if status not in {"kill": {-signal.SIGKILL}, "moment": {-signal.SIGALRM}}.get(way, {0, 3}):
            broken.append(f"status {status}: {words}")
        for name, data in left_in(folder).items():
            if name.endswith(("run.json", "responses.jsonl", "board.md")) and _is_torn(name, data, before, due):
                broken.append(f"{name} is neither the old one nor the new one")
    os.close(writer)
    told = b""
    while piece := _read(reader):
        told += piece
    os.close(reader)
    announced = told.decode().split()
    if lost := set(announced) - set(answered(folder)):
        broken.append(f"{len(lost)} answers were announced and are not on disk")
    if len(announced) != len(set(announced)):
        broken.append("an answer was announced twice")
    status, words = in_child(lambda: WORKS[work](folder, os.open(os.devnull, os.O_WRONLY)), folder)
    if status != 0:
        broken.append(f"it does not go on ({status}): {words}")
    elif (now := left_in(folder)) != due:
        differing = sorted(name for name in now.keys() | due.keys() if now.get(name) != due.get(name))
        broken.append(f"it ends with other bytes: {differing}")
    shutil.rmtree(folder)
    return made, broken


def disturbed(work: str, folder: Path, way: str, at: float, pipe: int) -> None:
    """Do the work with a trap set; end the process with status 77 where it comes through without it."""
    TRAP.set(folder, at, way)
    WORKS[work](folder, pipe)
    if not TRAP.sprung:
        os._exit(77)


def _is_torn(name: str, data: bytes, before: dict[str, bytes], due: dict[str, bytes]) -> bool:
    if data in (before.get(name), due.get(name)):
        return False
    if name.endswith("run.json"):  # that of a run that has begun
        try:
            return bool(json.loads(data)["complete"])
        except ValueError:
            return True
    return True


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def warm_up(work: str, base: Path) -> None:
    """Import here what the work imports, so that children need not."""
    shutil.copytree(base / "start", base / "warm")
    names = base / "modules"

    def listed() -> None:
        WORKS[work](base / "warm", os.open(os.devnull, os.O_WRONLY))
        names.write_text("\n".join(sys.modules))

    status, words = in_child(listed, base / "warm", 4 * PATIENCE)  # imports on a busy machine
    assert status == 0, words
    imported = names.read_text().split("\n")
    if "torch" in imported:
        torchvision_ops.ensure()
    for name in imported:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # children do not look through it again


def undisturbed(work: str, base: Path) -> tuple[dict[str, bytes], int, float]:
    """Do the work in peace; return what it leaves, its steps on files and its seconds."""
    folder = base / "undisturbed"
    shutil.copytree(base / "start", folder)
    reader, writer = os.pipe()

    def counted() -> None:
        TRAP.set(folder, 0, "count")
        begun = time.monotonic()
        WORKS[work](folder, os.open(os.devnull, os.O_WRONLY))
        os.write(writer, f"{TRAP.count} {time.monotonic() - begun}".encode())

    status, words = in_child(counted, folder)
    assert status == 0, words
    steps, seconds = os.read(reader, 100).split()
    return left_in(folder), int(steps), float(seconds)


def main() -> None:
    """Disturb the work as often as the command line says."""
    base, work, trials = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    parts.SYNC_SECONDS = 0.002
    locks.POLL_SECONDS, locks.STALE_SECONDS = 0.005, 3600.0
    files.ABANDONED_SECONDS = 0.0
    sys.addaudithook(TRAP.hook)
    prepare(work, base)
    warm_up(work, base)
    due, steps, seconds = undisturbed(work, base)
    for way in sys.argv[4:]:
        draw = random.Random(f"{work} {way}")
        drawn = [draw.uniform(0, seconds) for _ in range(3 * trials)]  # some fall behind the end
        found: dict[str, Any] = {"work": work, "way": way, "steps": steps, "made": 0, "broken": []}
        for at in drawn if way == "moment" else draw.sample(range(1, steps + 1), min(trials, steps)):
            if way != "moment" or found["made"] < trials:
                times, problems = trial(work, way, at, base, due)
                found["made"] += times
                found["broken"] += [f"{way} at {at:.4g}: {problem}" for problem in problems]
        sys.stdout.write(json.dumps(found) + "\n")
        if REPORT:
            with open(REPORT, "a") as file:
                file.write(json.dumps(found) + "\n")


def disturb(work: str, base: Path, few: int = 3) -> None:
    """Carry out a piece of work's trials in a lab of its own, with what `base` holds; fail on a broken promise.

    The short form makes `few` of each way.
    """
    trials, ways = (int(LONG), ["kill", "moment", *ERRORS]) if LONG else (few, ["kill", "moment", "ENOSPC"])
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if REPORT:
        environment["FGVR_TEST_REPORT"] = REPORT
    lab = [sys.executable, __file__, str(base), work, str(trials), *ways]
    done = subprocess.run(lab, env=environment, capture_output=True, text=True, timeout=3 * 3600)
    assert done.returncode == 0, done.stderr
    found = list(map(json.loads, done.stdout.splitlines()))
    assert [each["way"] for each in found] == ways
    for each in found:
        assert each["broken"] == []
        assert each["made"]


TRAP = Trap()
if __name__ == "__main__":
    main()
