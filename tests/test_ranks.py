"""Several ranks share a run and end with the bytes of one process; whoever is lost or unlike is named."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rank_toys import Noting, play_over_ranks, ranks_of
from test_run_story import files_of, play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench import hookimpl
from fgvr_bench.core import assisting, files, ranked
from fgvr_bench.core import ranks as ranks_module
from fgvr_bench.core.assisting import Assistant
from fgvr_bench.core.launching import ranks_for
from fgvr_bench.core.order import BatchPlan, OpenBatches
from fgvr_bench.core.parts import PartWriter
from fgvr_bench.core.ranks import Place, RankLost, Ranks, launched, open_store, patience
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import OutOfMemory, UsageError
from fgvr_bench.types import Prompt, Response


class Slow(Script):
    """Takes its time over a batch."""

    seconds = 0.05

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        time.sleep(self.seconds)
        return super().respond(prompts, batch)


class Listener:
    """Counts how often it is told of each answer."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    @hookimpl
    def answer_scored(self, question: Any) -> None:
        self.told[question.question_id] += 1


def models(*scripts: Script) -> list[ToyModel]:
    return [ToyModel("oracle", script) for script in scripts]


def test_three_ranks_end_with_the_bytes_of_one_process_and_tell_of_every_answer_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "alone", ToyModel("oracle"), ToyPlugin(each=30))
    all_three = threading.Barrier(3, timeout=60)

    class Together(Slow):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            if not self.asked:
                all_three.wait()  # nobody is through before everybody has a batch
            return super().respond(prompts, batch)

    listener, watcher = Listener(), Noting()
    three = models(Together(), Together(), Together())
    done = play_over_ranks(tmp_path / "three", monkeypatch, three, [Assistant] * 2, listener, watcher)
    assert not done.errors
    assert files_of(tmp_path / "three") == files_of(tmp_path / "alone")
    assert set(listener.told.values()) == {1}
    assert len(listener.told) == 120
    assert watcher.shown[-1] == (120, 120, 120)
    assert watcher.shown == sorted(watcher.shown)
    shares = [len(model.model.asked) for model in three]
    assert sum(shares) == 120
    assert min(shares) >= 4, shares
    [machine] = (tmp_path / "three").rglob("machine.json")
    [execution] = json.loads(machine.read_text())["executions"]
    assert (execution["processes"], execution["answered"]) == (3, 120)
    again = models(Script(), Script(), Script())
    assert not play_over_ranks(tmp_path / "three", monkeypatch, again, [Assistant] * 2).errors
    assert not any(model.loads for model in again)


def test_a_slow_rank_takes_fewer_batches_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came, done = threading.Event(), threading.Event()

    class Fast(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            assert came.wait(60)
            if len(self.asked) >= 108:
                done.set()
            return super().respond(prompts, batch)

    class Slowest(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            came.set()
            assert done.wait(60)  # over its first batch, until the other is nearly through all others
            return super().respond(prompts, batch)

    slow = Slowest()
    assert not play_over_ranks(tmp_path, monkeypatch, models(Fast(), slow), [Assistant]).errors
    assert 0 < len(slow.asked) <= 12


def test_each_rank_writes_a_part_and_another_number_of_processes_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "alone", ToyModel("oracle"), ToyPlugin(each=30))
    play_over_ranks(tmp_path / "cut", monkeypatch, models(Slow(), Slow()), [Assistant], limit=60)
    assert len(list((tmp_path / "cut").rglob("parts/*.jsonl"))) == 2
    play_over_ranks(tmp_path / "cut", monkeypatch, models(Slow(), Slow(), Slow()), [Assistant] * 2, limit=90)
    rest = ToyModel("oracle")
    play(tmp_path / "cut", rest, ToyPlugin(each=30))
    assert 0 < len(rest.model.asked) <= 40
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "alone")


def unlike(change: dict[str, Any]) -> Any:
    """Return an assistant that sees something else."""

    class Unlike(Assistant):
        def _prepare(self, **order: Any) -> dict[str, Any]:
            said = super()._prepare(**order)
            for name, value in change.items():
                part = said
                *path, last = name.split(".")
                for each in path:
                    part = part[each]
                part[last] = value
            return said

    return Unlike


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"versions.torch": "1.0"}, "has other versions than rank 0 on HOST: torch"),
        ({"versions.fgvr-bench": "0.0.1"}, "has other versions than rank 0 on HOST: fgvr-bench"),
        ({"inputs.dataset.digest": "ab"}, "its dataset digest is ab, not"),
        ({"inputs.model.revision": "cd"}, "its model revision is cd, not"),
        ({"free": 1000}, "has 0 MB left for"),
        ({"sees": False}, "does not see what rank 0 on HOST writes to"),
    ],
)
def test_a_rank_that_is_unlike_is_named_with_its_host_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    both = models(Script(), Script())
    [error] = play_over_ranks(tmp_path, monkeypatch, both, [unlike(change)]).errors
    host = socket.gethostname()
    assert f"rank 1 on {host} " in error.message
    assert words.replace("HOST", host) in error.message
    assert error.hint
    assert not any(model.model.asked for model in both)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_rank_whose_disk_is_full_now_is_no_reason_where_there_is_room(tmp_path: Path) -> None:
    assert ranked.free_space(tmp_path / "not" / "there" / "yet") > 0


def test_what_fails_on_one_rank_ends_the_run_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            raise RuntimeError("no such kernel")

    [error] = play_over_ranks(tmp_path, monkeypatch, models(Slow(), Fails()), [Assistant]).errors
    assert f"rank 1 on {socket.gethostname()}: model oracle failed on" in error.message
    assert "no such kernel" in error.message
    kept = sum(path.read_text().count('{"q":') for path in tmp_path.rglob("parts/*.jsonl"))
    assert kept > 0
    play(tmp_path, ToyModel("oracle"), ToyPlugin(each=30))


def test_a_batch_that_does_not_fit_is_halved_on_all_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            if len(prompts) > 2:
                raise OutOfMemory("it is full")
            return super().respond(prompts, batch)

    play(tmp_path / "alone", ToyModel("oracle", Small()), ToyPlugin(each=30))
    watcher = Noting()
    both = models(Small(), Small())
    assert not play_over_ranks(tmp_path / "two", monkeypatch, both, [Assistant], None, watcher).errors
    assert "a batch of 4 does not fit the memory; trying 2" in watcher.notes
    assert files_of(tmp_path / "two") == files_of(tmp_path / "alone")


def test_a_batch_too_large_for_one_rank_is_asked_in_parts_once_another_has_had_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, answered = threading.Event(), threading.Event()

    class Large(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            if self.asked:  # the first batch is stored
                answered.set()
                assert came.wait(60)
            return super().respond(prompts, batch)

    class Small(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            came.set()
            assert answered.wait(60)
            if len(prompts) > 2:
                raise OutOfMemory("it is full")
            return super().respond(prompts, batch)

    play(tmp_path / "alone", ToyModel("oracle"), ToyPlugin(each=30))
    watcher = Noting()
    assert not play_over_ranks(
        tmp_path / "two", monkeypatch, models(Large(), Small()), [Assistant], None, watcher
    ).errors
    assert not watcher.notes
    assert files_of(tmp_path / "two") == files_of(tmp_path / "alone")


def test_a_rank_that_gets_nothing_but_a_batch_that_fails_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Script()
    play(tmp_path / "order", ToyModel("oracle", order), ToyPlugin(each=30))
    bad = frozenset(order.asked[-4:])
    met = threading.Event()

    class Early(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            if len(self.asked) == 28 * 4:
                assert met.wait(60)
            return super().respond(prompts, batch)

    class Unlucky(Script):
        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            met.set()
            return super().respond(prompts, batch)

    class Late(Assistant):
        def _ask(self, key: str, **order: Any) -> dict[str, Any]:
            while not met.is_set() and self.ranks.count(key) < 29:
                time.sleep(0.001)
            return super()._ask(key, **order)

    play(tmp_path / "alone", ToyModel("oracle", Script(fail_on=bad)), ToyPlugin(each=30))
    unlucky = Unlucky(fail_on=bad)
    done = play_over_ranks(tmp_path / "two", monkeypatch, models(Early(fail_on=bad), unlucky), [Late])
    assert not done.errors
    assert set(unlucky.asked) <= bad
    assert files_of(tmp_path / "two") == files_of(tmp_path / "alone")


def test_time_in_which_this_process_stood_still_is_no_silence_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class Busy(Assistant):
        def _release(self) -> None:
            assert go_on.wait(60)

    clock, stood_still = time.monotonic, 0.0
    monkeypatch.setattr(ranks_module.time, "monotonic", lambda: clock() + stood_still)
    with ranks_of(lambda ranks: Busy(ranks, None, [], [], None)) as ranks:  # type: ignore[arg-type]
        ranks.order("release")
        ranks.look_around()
        stood_still = 10_000.0  # what Ctrl-Z does to all processes of a terminal; their hearts come later
        ranks.look_around()
        go_on.set()
        ranks.replies()
        ranks.send_home()


def test_a_patience_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVR_PATIENCE", "long")
    with pytest.raises(UsageError, match="FGVR_PATIENCE is 'long'"):
        patience()


class Dies(Assistant):
    """Its heart stops when it is to answer."""

    def _ask(self, **order: Any) -> dict[str, Any]:
        self.ranks._closing.set()
        return self._hang()

    def _hang(self) -> Any:
        threading.Event().wait(2)
        raise RankLost("it is over")


class Hangs(Dies):
    """Lives, and does nothing."""

    def _ask(self, **order: Any) -> dict[str, Any]:
        return self._hang()


@pytest.mark.parametrize(("maker", "words"), [(Dies, "has not been heard of for"), (Hangs, "has not got on for")])
def test_a_rank_that_dies_or_hangs_is_named_and_the_rest_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: type[Assistant], words: str
) -> None:
    monkeypatch.setattr(ranks_module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(ranks_module, "DEAD_SECONDS", 0.5 if maker is Dies else 60)
    monkeypatch.setenv("FGVR_PATIENCE", "60" if maker is Dies else "0.5")
    monkeypatch.setattr(ranks_module, "PARTING_SECONDS", 0.1)
    [error] = play_over_ranks(tmp_path, monkeypatch, models(Slow(), Script()), [maker]).errors
    assert f"rank 1 on {socket.gethostname()} " in error.message
    assert words in error.message
    assert "Type the same command again" in str(error.hint)
    rest = ToyModel("oracle")
    play(tmp_path, rest, ToyPlugin(each=30))
    assert len(rest.model.asked) < 120  # some of it was answered before


def test_costly_batches_are_handed_out_first_and_every_number_to_one_rank() -> None:
    import numpy as np

    plan = BatchPlan(np.arange(12, dtype=np.int32), 3, np.array([1.0, 9.0, 4.0, 9.0]))
    dealt = OpenBatches(plan, np.array([0, 1, 2, 3])).by_cost()
    assert dealt.numbers.tolist() == [1, 3, 2, 0]
    taken: list[list[int]] = [[], []]

    class Claiming(Assistant):
        def serve(self) -> None:
            self.ranks.join()
            claim(self.ranks)

    def claim(ranks: Ranks) -> None:
        claims = ranks.claims("work", 50)
        for number in claims:
            assert number is not None  # only who has some in hand is told to wait
            taken[ranks.place.rank].append(number)
            claims.take_up()
            time.sleep(0.002)

    with ranks_of(lambda ranks: Claiming(ranks, None, [], [], None)) as ranks:  # type: ignore[arg-type]
        claim(ranks)
    assert sorted(taken[0] + taken[1]) == list(range(50))
    assert min(map(len, taken)) > 5


def test_who_has_half_of_its_share_of_the_rest_in_hand_waits() -> None:
    with ranks_of() as alone:
        claims = Ranks.claims(alone, "more", 16)
        ahead = iter(claims)
        assert [next(ahead) for _ in range(6)] == [0, 1, 2, 3, 4, None]
        for _ in range(5):
            claims.take_up()
        assert [next(ahead) for _ in range(5)] == [5, 6, 7, 8, None]


def test_the_environment_of_a_launcher_is_read_and_nonsense_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() is None
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="MASTER_ADDR=None"):
        launched()
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launched() == Place(3, 4, 1, 1)
    with pytest.raises(UsageError, match=r"this is rank 3 of 4 processes .*; rank 0 leads"):
        ranks_for([], [], RunSettings(num_processes="launched"))
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(UsageError, match="RANK=4"):
        launched()
    for port in ("http", "99999"):
        monkeypatch.setenv("MASTER_PORT", port)
        with pytest.raises(UsageError, match=f"MASTER_PORT={port}"):
            launched()


def test_a_port_that_is_taken_and_a_stranger_or_nobody_behind_it_are_said_to_be_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks_module, "START_SECONDS", 0.1)
    monkeypatch.setattr(ranks_module, "STRANGER_SECONDS", 0.5)

    def reach(rank: int, port: int) -> None:
        ranks = Ranks(Place(rank, 2), lambda: open_store("127.0.0.1", port, holds=rank == 0))
        try:
            ranks.join()
        finally:
            ranks.close()

    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        port = stranger.getsockname()[1]
        with pytest.raises(RankLost, match=r"rank 1 on .* cannot reach rank 0 \(ConnectionRefusedError"):
            reach(1, port)
        stranger.listen()
        with pytest.raises(RankLost, match=f"what listens at 127.0.0.1:{port} is no store of rank 0"):
            reach(1, port)
        with pytest.raises(RankLost, match=r"rank 0 on .* cannot be reached by the others .*EADDRINUSE") as told:
            reach(0, port)
        assert "MASTER_PORT" in str(told.value)
    for thread in threading.enumerate():
        if thread.name == "store":  # which the end of the stranger lets go
            thread.join(60)


def test_what_a_rank_has_stored_is_waited_for_where_a_shared_disk_shows_it_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(PartWriter):
        def __init__(self, folder: Path, header: Any) -> None:
            self.folder = folder
            super().__init__(tmp_path / "hidden", header)

        def close(self) -> None:
            super().close()
            threading.Timer(0.3, lambda: self.path.rename(self.folder / self.path.name)).start()

    for number in range(5):  # so that its part has a name of its own
        (tmp_path / "hidden").mkdir(exist_ok=True)
        (tmp_path / "hidden" / f"{number}.jsonl").touch()
    monkeypatch.setattr(assisting, "PartWriter", Late)
    play(tmp_path / "alone", ToyModel("oracle"), ToyPlugin(each=30))
    two = models(Slow(), Slow())
    assert not play_over_ranks(tmp_path / "two", monkeypatch, two, [Assistant]).errors
    assert len(two[1].model.asked) > 20
    assert files_of(tmp_path / "two") == files_of(tmp_path / "alone")
    monkeypatch.setattr(files, "SIGHT_SECONDS", 0.1)
    [error] = play_over_ranks(tmp_path / "never", monkeypatch, models(Slow(), Slow()), [Assistant]).errors
    assert re.search(r"rank 1 on .* has stored answers in .*\.jsonl that rank 0 on .* does not see", error.message)


def test_two_processes_as_torchrun_starts_them_end_with_the_bytes_of_one(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for label in ("Knot", "Ruff"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (9, 9), (12 * number, 9, 9)).save(tmp_path / "photos" / label / f"{number}.png")
    command = [sys.executable, "-m", "fgvr_bench", "run", "-m", "always-a", "-m", "random", "--options", "random"]
    command += ["-d", f"folder:{tmp_path / 'photos'}", "--batch-size", "2", "--results-dir"]
    started = [
        subprocess.Popen(
            [*command, str(tmp_path / "two")],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [each.communicate(timeout=120) for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    assert said[1] == ("", "")
    assert "always-a" in said[0][0]
    alone = subprocess.run([*command, str(tmp_path / "one")], capture_output=True, text=True, timeout=120)
    assert alone.returncode == 0, alone.stderr
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    assert alone.stdout.replace("/one/", "/two/") == said[0][0]


ENDS = """
from fgvr_bench.core import ranks
ranks.BEAT_SECONDS = 0
ranks.Ranks(ranks.Place(0, 1), lambda: ranks.open_store("127.0.0.1", 0, holds=True)).join()
raise SystemExit(3)  # as after an error before anybody was sent home
"""


def test_a_command_that_ends_while_its_heart_beats_is_not_aborted() -> None:
    assert subprocess.run([sys.executable, "-c", ENDS], timeout=120).returncode == 3
