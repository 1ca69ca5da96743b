"""Processes that share one piece of work: what they say to one another, and who of them has fallen silent.

Rank 0 leads: it gives orders, which the others carry out and answer (`fgvr_bench.core.assisting`).  All that passes
between them goes through a key-value store of torch, whose one atomic counter also hands out the work; no scheduler, no
collective operation, so that a rank may be as slow as it likes, and one that is lost is named.

torchrun and accelerate say by environment variables who a process is (`launched`); `fgvr_bench.core.launching` starts
the processes of one machine itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from fgvr_bench.core.answering import UNSURE
from fgvr_bench.errors import FgvrError, UsageError

BEAT_SECONDS = 1.0
DEAD_SECONDS = 60.0
"""A rank whose heart has not been seen to beat for so long is taken for dead; who looks counts by its own heart, which
stands still where its process does (Ctrl-Z)."""
START_SECONDS = 300.0
"""How long the ranks have to find one another."""
PATIENCE = 1800.0
"""Seconds that a living rank may take over one step (loading a model, a batch) before it is taken to hang; the variable
``FGVR_PATIENCE`` says otherwise."""
PARTING_SECONDS = 10.0
STRANGER_SECONDS = 10.0
"""How long whoever listens where rank 0 should may take over its first word, at least."""
POLL_SECONDS = 0.02
PIECE = 4 << 20
"""Bytes of a value of the store; it takes 8 MiB at most."""
ENDED = 1 << 40
"""Added to a counter, it leaves nothing to claim."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the processes this one is."""

    rank: int
    count: int
    local_rank: int = 0
    """Its number among those of its machine: which GPU is its own."""
    sharing: int = 1
    """How many processes share the processor cores that this one sees."""

    def device(self, wanted: str) -> str:
        """Return the device that this rank takes where any GPU, or none in particular, is asked for."""
        from fgvr_bench.core.checkup_torch import has_gpu_driver

        if wanted not in {"auto", "cuda"} or not has_gpu_driver():
            return wanted  # without torch: what a run records must not hang on who imported it first
        import torch

        if not torch.cuda.is_available():
            return wanted
        number = self.local_rank % torch.cuda.device_count()
        torch.cuda.set_device(number)
        return f"cuda:{number}"


def launched() -> Place | None:
    """Return the place that torchrun, accelerate or a script of Slurm's gave this process; None where it is alone.

    Raises:
        UsageError: the variables that say so make no sense together.
    """
    given = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    try:
        rank, count, local, sharing = (int(given[name] or default) for name, default in zip(given, "0101", strict=True))
    except ValueError:
        rank, count, local, sharing = -1, 2, 0, 1
    if count <= 1:
        return None
    absent = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    port = os.environ.get("MASTER_PORT", "")
    if not 0 <= rank < count or absent or not (port.isdecimal() and 0 < int(port) < 1 << 16):
        said = ", ".join(f"{name}={os.environ.get(name)}" for name in (*given, "MASTER_ADDR", "MASTER_PORT"))
        raise UsageError(
            f"the environment says that this is one of several processes, but not rightly which ({said}).",
            hint="Start them with torchrun or accelerate launch, or unset WORLD_SIZE.",
        )
    return Place(rank, count, local, max(1, sharing))


def patience() -> float:
    """Return how many seconds a rank may take over one step.

    Raises:
        UsageError: ``FGVR_PATIENCE`` is no number of seconds.
    """
    text = os.environ.get("FGVR_PATIENCE") or str(PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UsageError(f"FGVR_PATIENCE is {text!r}, which is no number of seconds.", hint="For example 3600.")
    return seconds


class RankLost(FgvrError):
    """A rank died, hangs, or cannot be reached."""


class Ranks:
    """One rank's way to the others."""

    def __init__(
        self,
        place: Place,
        connect: Callable[[], Any],
        ended: Callable[[], Mapping[int, int]] = dict,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            place: which rank this is.
            connect: opens the store; called when it is first needed.
            ended: exit statuses of ranks known to have ended, by rank.
            end: called at the end of all.
        """
        self.place = place
        self._connect, self._ended, self._end = connect, ended, end
        self._store: Any = None
        self._orders = 0
        self._awaited: set[int] = set()
        self._lost: dict[int, RankLost] = {}
        self._found: dict[int, dict[str, Any]] = {}
        self._hosts: dict[int, str] = {}
        self._seen: dict[int, tuple[tuple[int, int], float, float]] = {}
        self._looked = 0.0
        self._beats = 0
        self._closing = threading.Event()
        self._heart: threading.Thread | None = None

    @property
    def others(self) -> range:
        """The ranks that rank 0 leads."""
        return range(1, self.place.count)

    # What rank 0 says, and the others answer.

    def order(self, do: str, **content: Any) -> None:
        """Let all other ranks do something (rank 0)."""
        self.join()
        self._orders += 1
        self._awaited, self._found = set(self.others), {}
        self._seen.clear()
        self.put(f"order/{self._orders}", json.dumps({"do": do, **content}).encode())

    def waiting(self) -> Iterator[None]:
        """Yield until all others have answered the last order (rank 0).

        Raises:
            RankLost: one of them is not there any more; names it.
        """
        while True:
            self.look_around()
            if not self._awaited:
                return
            yield
            self.step()
            time.sleep(POLL_SECONDS)

    def replies(self) -> dict[int, Any]:
        """Wait for what the others answer to the last order; return it by rank (rank 0).

        Raises:
            RankLost: see `waiting`.
            FgvrError: one of them failed; names it.  All have answered then.
        """
        for _ in self.waiting():
            pass
        self.check_replies()
        return {rank: reply["content"] for rank, reply in sorted(self._found.items())}

    def check_replies(self) -> None:
        """Raise the first failure among the answers that have come so far."""
        for rank, reply in sorted(self._found.items()):
            if "error" in reply:
                kind = next((each for each in UNSURE if each.__name__ == reply["kind"]), FgvrError)
                raise kind(f"{self.name(rank)}: {reply['error']}", hint=reply["hint"])

    def look_around(self) -> None:
        """Take answers in, and make sure that the ranks which owe one live and get on (rank 0).

        Raises:
            RankLost: one does not; says which.
        """
        for rank in sorted(self._awaited):
            if (said := self.look(f"reply/{self._orders}/{rank}")) is not None:
                self._found[rank] = json.loads(said)
                self._awaited.discard(rank)
        self._look_after(self._awaited, patience())

    def orders(self) -> Iterator[dict[str, Any]]:
        """Yield the orders of rank 0 as they come; each is to be answered before the next is asked for.

        Raises:
            RankLost: rank 0 is not there any more.
        """
        while True:
            self._orders += 1
            while not self._there(f"order/{self._orders}"):
                self._look_after({0}, 4 * patience())  # it has more to do than the others: digests, scores, files
                time.sleep(POLL_SECONDS)
            self._seen.clear()
            yield json.loads(self.take(f"order/{self._orders}"))

    def reply(self, content: Any = None, error: FgvrError | None = None) -> None:
        """Answer the order at hand."""
        said = {"content": content}
        if error is not None:
            said = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
        self.put(f"reply/{self._orders}/{self.place.rank}", json.dumps(said).encode())

    def name(self, rank: int) -> str:
        """Return ``rank 3 on host-b``."""
        if rank not in self._hosts:
            with contextlib.suppress(Exception):
                if self._store is not None and self._store.check([f"host/{rank}"]):
                    self._hosts[rank] = self._store.get(f"host/{rank}").decode()
        return f"rank {rank} on {self._hosts[rank]}" if rank in self._hosts else f"rank {rank}"

    # Values of any size, and counters.

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under a key."""
        with self._reachable():
            pieces = range(0, max(1, len(data)), PIECE)
            for number, start in enumerate(pieces):
                self._store.set(f"{key}#{number}", data[start : start + PIECE])
            self._store.set(key, str(len(pieces)))

    def take(self, key: str) -> bytes:
        """Return the bytes under a key that is there."""
        with self._reachable():
            pieces = int(self._store.get(key))
            return b"".join(self._store.get(f"{key}#{number}") for number in range(pieces))

    def fetch(self, key: str) -> bytes | None:
        """Return the bytes under a key and take them away, or None where there are none."""
        if not self._there(key):
            return None
        data = self.take(key)
        with self._reachable():
            for number in range(-(-len(data) // PIECE) or 1):
                self._store.delete_key(f"{key}#{number}")
            self._store.delete_key(key)
        return data

    def look(self, key: str) -> bytes | None:
        """Return the bytes under a key, or None where there are none."""
        return self.take(key) if self._there(key) else None

    def count(self, key: str, more: int = 0) -> int:
        """Add to a counter; return what it then says."""
        with self._reachable():
            return int(self._store.add(f"count/{key}", more))

    def claims(self, name: str, total: int) -> Claims:
        """Return what hands out the numbers below `total`; of one `name` each goes to one rank."""
        return Claims(self, name, total)

    # Who is there.

    def join(self) -> None:
        """Find the others (the first call), and begin to show that this one lives.

        Raises:
            RankLost: not all were there in time; names those that were not.
        """
        if self._store is not None:
            return
        try:
            self._store = self._connect()
            self._store.set(f"host/{self.place.rank}", platform.node())
        except Exception as error:
            if self.place.rank == 0:
                does = "cannot be reached by the others"
                hint = "Set MASTER_ADDR to the name of its machine, and MASTER_PORT to a port that is free there."
            else:
                does = "cannot reach rank 0"
                hint = "All ranks have to be started together; see whether MASTER_ADDR and MASTER_PORT can be reached."
            who = f"rank {self.place.rank} on {platform.node()}"
            raise RankLost(f"{who} {does} ({_first_line(error)}).", hint=hint) from error
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()
        atexit.register(self._stand_still)  # a thread that Python's end meets within torch aborts the process
        if self.place.rank == 0:
            self._wait_for_all()

    def _wait_for_all(self) -> None:
        absent = set(self.others)
        while absent := {rank for rank in absent if not self._present(rank)}:
            if self._lived() > START_SECONDS or self._ended():
                named = ", ".join(map(str, sorted(absent)))
                raise RankLost(
                    f"of {self.place.count} processes, rank {named} did not come"
                    + "".join(f" (exit status {status})" for status in list(self._ended().values())[:1])
                    + ".",
                    hint="Look at what it wrote, and start all again.",
                )
            time.sleep(POLL_SECONDS)

    def _present(self, rank: int) -> bool:
        with self._reachable():
            return bool(self._store.check([f"host/{rank}"]))

    def send_home(self) -> None:
        """Let the others end (rank 0), and give them some seconds to hear it: with this process the store may go."""
        if self._store is not None and sys.exc_info()[0] is not KeyboardInterrupt:
            deadline = time.monotonic() + PARTING_SECONDS
            with contextlib.suppress(FgvrError):
                self.order("end")
                self._awaited -= self._lost.keys()
                for _ in self.waiting():
                    if time.monotonic() > deadline:
                        break
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._stand_still()
        atexit.unregister(self._stand_still)
        try:
            self._end()
        finally:
            self._store = None

    def _stand_still(self) -> None:
        self._closing.set()
        if self._heart is not None:
            self._heart.join(PARTING_SECONDS)

    def _there(self, key: str) -> bool:
        with self._reachable():
            return bool(self._store.check([key]))

    def step(self) -> None:
        """Show that this rank does not hang."""
        with self._reachable():
            self._store.add(f"step/{self.place.rank}", 1)

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            self._beats += 1
            with contextlib.suppress(Exception):  # whoever works will notice
                self._store.add(f"beat/{self.place.rank}", 1)

    def _lived(self) -> float:
        """Return the seconds since the others were looked for, those left out in which this process was stopped."""
        return self._beats * BEAT_SECONDS

    def _look_after(self, ranks: set[int], longest: float) -> None:
        """Make sure that ranks which are waited for live, and take no step longer than `longest` seconds.

        Raises:
            RankLost: one does not; says which.
        """
        for rank in self._lost.keys() & ranks:
            raise self._lost[rank]
        for rank, status in self._ended().items():
            if rank in ranks:
                self._lose(rank, f"died (exit status {status}).")
        if time.monotonic() - self._looked < BEAT_SECONDS:
            return
        self._looked, now = time.monotonic(), self._lived()
        for rank in ranks:
            with self._reachable():
                beat, step = int(self._store.add(f"beat/{rank}", 0)), int(self._store.add(f"step/{rank}", 0))
            (last_beat, last_step), beaten, stepped = self._seen.get(rank, ((-1, -1), now, now))
            beaten, stepped = now if beat != last_beat else beaten, now if step != last_step else stepped
            self._seen[rank] = (beat, step), beaten, stepped
            if now - beaten > DEAD_SECONDS:
                self._lose(rank, f"has not been heard of for {now - beaten:.0f} s.")
            if now - stepped > longest:
                self._lose(
                    rank, f"lives, but has not got on for {now - stepped:.0f} s (FGVR_PATIENCE=SECONDS waits longer)."
                )

    def _lose(self, rank: int, how: str) -> NoReturn:
        self._lost[rank] = RankLost(f"{self.name(rank)} {how}", hint=GO_ON)
        raise self._lost[rank]

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        """Put into words that whoever holds the store is gone."""
        try:
            yield
        except FgvrError:
            raise
        except Exception as error:
            raise RankLost(f"{self.name(0)} cannot be reached any more ({_first_line(error)}).", hint=GO_ON) from error


GO_ON = "Type the same command again: it goes on with what is on disk."


class Claims:
    """Hands out numbers, each to one rank, as each gets on: a slow one holds nobody up.

    Iterating yields the next number that nobody has, or None where this rank has enough in hand for now: what it has
    claimed and not yet taken up is at most its share of half of what is left, and at last one.
    """

    def __init__(self, ranks: Ranks, name: str, total: int) -> None:
        self._ranks, self._name, self._total = ranks, name, total
        self._in_hand = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[int | None]:
        while True:
            left = self._total - self._ranks.count(self._name)
            if left <= 0:
                return
            if self._in_hand >= max(1, left // (2 * self._ranks.place.count)):
                yield None
                continue
            number = self._ranks.count(self._name, 1) - 1
            if number >= self._total:
                return
            self._in_hand += 1
            yield number

    def take_up(self) -> None:
        """Say that work on a number that was claimed begins."""
        self._in_hand -= 1
        self._ranks.step()

    def end(self) -> None:
        """Let nobody claim any more."""
        self._ranks.count(self._name, ENDED)


def open_store(host: str, port: int, holds: bool) -> Any:
    """Return the key-value store at an address, which this process holds, or else only reaches.

    Raises:
        OSError: there is no such host; nobody is there in time, or somebody who does not speak as a store does.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what a lost connection means is said in our words
    from torch import distributed

    def opened() -> Any:
        patience = timedelta(seconds=START_SECONDS)
        return distributed.TCPStore(host, port, None, holds, patience, wait_for_workers=False)  # type: ignore[attr-defined]

    if holds:
        socket.getaddrinfo(host, port)
        return opened()
    deadline = time.monotonic() + START_SECONDS
    _wait_for_somebody(host, port, deadline)
    found: Future[Any] = Future()

    def reach() -> None:
        try:
            found.set_result(opened())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=reach, name="store", daemon=True).start()
    try:  # torch itself waits for ever for the first word
        return found.result(timeout=max(STRANGER_SECONDS, deadline - time.monotonic()))
    except TimeoutError:
        raise TimeoutError(f"what listens at {host}:{port} is no store of rank 0") from None


def _wait_for_somebody(host: str, port: int, deadline: float) -> None:
    """Return as soon as a port can be reached; torch says in many lines of its own when it cannot."""
    while True:
        try:
            socket.create_connection((host, port), timeout=STRANGER_SECONDS).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def join_launched(place: Place) -> Ranks:
    """Return the way to the other processes that torchrun, accelerate or Slurm started."""

    def connect() -> Any:
        from torch import distributed

        holds = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        store = open_store(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), holds)
        return distributed.PrefixStore(  # type: ignore[attr-defined]
            f"fgvr-bench/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store
        )

    return Ranks(place, connect)


_AT_HAND: list[Ranks] = []


def at_hand() -> Ranks | None:
    """Return the ranks that rank 0, in this process, may share work with; None where it works alone."""
    return _AT_HAND[-1] if _AT_HAND else None


@contextlib.contextmanager
def leading(ranks: Ranks | None) -> Iterator[None]:
    """Have ranks at hand while the block runs, and send them home at its end."""
    if ranks is None:
        yield
        return
    _AT_HAND.append(ranks)
    try:
        yield
    finally:
        _AT_HAND.remove(ranks)
        ranks.send_home()


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}" if str(error).strip() else repr(error)
