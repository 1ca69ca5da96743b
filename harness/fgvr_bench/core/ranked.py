"""A workforce of several ranks: each holds the model, writes a part of its own, and takes the batch that comes next."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.answering import UNSURE, Answered
from fgvr_bench.core.files import comes_to_sight
from fgvr_bench.core.order import OpenBatches
from fgvr_bench.core.ranks import GO_ON, Ranks
from fgvr_bench.core.recording import Elsewhere
from fgvr_bench.core.versions import changes
from fgvr_bench.core.workforce import OneProcess
from fgvr_bench.errors import FgvrError
from fgvr_bench.types import Json

if TYPE_CHECKING:
    from fgvr_bench.core.assembly import Assembly

ROOM = 1 << 26
ROOM_FOR_AN_ANSWER = 2048
"""Bytes that have to be free where a rank writes: so many, and so many more a question."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Whom rank 0 shares a run with, and which one it is, as numbers in the lists that all ranks were given."""

    ranks: Ranks
    model: int
    dataset: int


class SeveralRanks:
    """Rank 0's own model and those of the others; batches go to whoever is free, the most costly ones first."""

    def __init__(self, assembly: Assembly, shared: Shared, load: Callable[[], OneProcess]) -> None:
        """Make sure that all ranks would do the same, and load the model on all.

        Raises:
            FgvrError: a rank sees another run, has other versions or no room, or cannot load; names it and its host.
        """
        self._assembly, self._ranks = assembly, shared.ranks
        _agree(assembly, shared)
        self._ranks.order("load")
        self.own = load()
        self._ranks.replies()
        self.alike = self.own.alike
        self.facts: Mapping[str, Json] = self.own.facts
        self.threads = self.own.threads

    @property
    def batch_size(self) -> int:
        """What fits on every rank."""
        self._ranks.order("propose")
        own = self.own.batch_size
        return min([own, *map(int, self._ranks.replies().values())])

    def answers(
        self,
        batches: Sequence[list[int]],
        stopping: Callable[[], bool],
        answered_before: bool,
        threads: int | None,
    ) -> Iterator[Answered | Elsewhere]:
        """Yield what this rank answered, and how far the others have stored theirs; see `Workforce`.

        Raises:
            RankLost: a rank died or hangs; the others end after the batch at hand.
        """
        assert isinstance(batches, OpenBatches)  # noqa: S101 - the plan of a run
        dealt, ranks = batches.by_cost(), self._ranks
        key = f"ask/{secrets.token_hex(4)}"
        ranks.join()
        ranks.put(f"{key}/order", dealt.plan.order.astype("<i4").tobytes())
        ranks.put(f"{key}/batches", dealt.numbers.astype("<i4").tobytes())
        ranks.order(
            "ask",
            key=key,
            batch_size=dealt.plan.batch_size,
            plan=dealt.plan.digest(),
            before=answered_before,
            threads=threads,
        )
        claims = ranks.claims(key, len(dealt))
        unsure: FgvrError | None = None
        try:
            try:
                for answered in self.own.answers(dealt, stopping, answered_before, threads, claims):
                    yield answered
                    ranks.look_around()
                    ranks.check_replies()
                    yield from self._elsewhere(key)
            except UNSURE as error:  # what the others have had says more
                claims.end()
                unsure = error
            for _ in ranks.waiting():
                if stopping():
                    claims.end()
                yield from self._elsewhere(key)
            yield from self._elsewhere(key, to_the_end=True)
            if unsure is not None:
                raise unsure
            ranks.check_replies()
        finally:
            claims.end()

    def _elsewhere(self, key: str, to_the_end: bool = False) -> Iterator[Elsewhere]:
        """Yield how far the other ranks' parts are on disk; at the end, wait until all of it can be seen from here.

        Raises:
            FgvrError: it cannot; names the rank.
        """
        for rank in self._ranks.others:
            if (said := self._ranks.look(f"{key}/synced/{rank}")) is None:
                continue
            name, upto = json.loads(said)
            path = self._assembly.folder.parts / name
            if to_the_end and not comes_to_sight(lambda: _reaches(path, upto)):  # noqa: B023 - called here
                raise FgvrError(
                    f"{self._ranks.name(rank)} has stored answers in {path} that {self._ranks.name(0)} does not see.",
                    hint=GO_ON,
                )
            yield Elsewhere(path, upto)

    def again(self) -> SeveralRanks:
        """Go on with the same ranks; one that let go of its model loads it again."""
        self._ranks.order("load")
        self._ranks.replies()
        return self

    def close(self) -> None:
        """Let all ranks go of the model."""
        with contextlib.suppress(FgvrError):
            self._ranks.order("release")
            self._ranks.replies()
        self.own.close()


def _agree(assembly: Assembly, shared: Shared) -> None:
    """Let every rank look the run up, and make sure that all see the same and have room."""
    ranks, folder, held = shared.ranks, assembly.folder.path, assembly.folder.lock_file
    mark = {"path": str(held.absolute()), "content": held.read_text(encoding="utf-8")}
    ranks.order("prepare", model=shared.model, dataset=shared.dataset, mark=mark)
    replies = ranks.replies()
    needed = ROOM + ROOM_FOR_AN_ANSWER * len(assembly.book)
    ours = {"inputs": assembly.inputs, "versions": assembly.versions, "free": free_space(folder), "sees": True}
    for rank, said in {0: ours, **replies}.items():
        who = ranks.name(rank)
        if differing := changes(dict(assembly.versions), said["versions"]):
            raise FgvrError(
                f"{who} has other versions than {ranks.name(0)}: {', '.join(differing)}.",
                hint="Install the same on all machines, and start all again.",
            )
        theirs, mine = flat(said["inputs"]), flat(assembly.inputs)
        if differing := [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]:
            name = differing[0]
            raise FgvrError(
                f"{who} would ask something else than {ranks.name(0)}: its {name.replace('.', ' ')} is "
                f"{theirs.get(name)}, not {mine.get(name)}.",
                hint="Give all machines the same data and checkpoints, and start all again.",
            )
        if not said["sees"]:
            raise FgvrError(
                f"{who} does not see what {ranks.name(0)} writes to {folder.parent}.",
                hint="Name a folder that all machines share (--results-dir), or run without ranks: --shard I/N.",
            )
        if said["free"] < needed:
            raise FgvrError(
                f"{who} has {said['free'] / 1e6:,.0f} MB left for {folder}; this run may take {needed / 1e6:,.0f} MB.",
                hint="Free some space, or name another folder with --results-dir.",
            )


def _reaches(path: Path, upto: int) -> bool:
    try:
        with open(path, "rb") as file:  # opening asks a server anew how long it is
            return file.seek(0, os.SEEK_END) >= upto
    except OSError:
        return False


def free_space(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested fields by their joined names.

    >>> flat({"dataset": {"digest": "ab"}, "seed": 0})
    {'dataset.digest': 'ab', 'seed': 0}
    """
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = list(value) if isinstance(value, tuple) else value
    return found
