"""Ranks of the toy benchmark as threads of one process: rank 0 is the test, the others assist."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from toy import ToyModel, ToyPlugin, toy_host

from fgvr_bench.core import evaluate
from fgvr_bench.core.assisting import Assistant
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.core.experiment import Asked
from fgvr_bench.core.ranks import Place, RankLost, Ranks, open_store
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.watching import Watcher

Maker = Callable[..., Assistant]


class Noting(Watcher):
    """Remembers what rank 0 showed."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, int]] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advanced(self, answered: int, judged: int, correct: int) -> None:
        self.shown.append((answered, judged, correct))


@contextmanager
def ranks_of(*makers: Callable[[Ranks], Assistant]) -> Iterator[Ranks]:
    """Yield rank 0's way to one assistant a maker, each in a thread of its own."""
    store = open_store("127.0.0.1", 0, holds=True)
    threads = []
    for rank, make in enumerate(makers, 1):
        ranks = Ranks(Place(rank, len(makers) + 1, rank), lambda: open_store("127.0.0.1", store.port, holds=False))
        threads.append(threading.Thread(target=_serve, args=(make(ranks),), daemon=True))
        threads[-1].start()
    first = Ranks(Place(0, len(makers) + 1), lambda: store)
    first.join()
    yield first
    first.close()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def _serve(assistant: Assistant) -> None:
    try:
        assistant.serve()
    except RankLost as error:
        assistant.lost = error  # type: ignore[attr-defined]


def play_over_ranks(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    models: Sequence[ToyModel],
    makers: Sequence[Maker],
    listener: Any = None,
    watcher: Watcher | None = None,
    dataset: ToyPlugin | None = None,
    **settings: Any,
) -> Evaluation:
    """Evaluate a toy model over ranks, the first model being rank 0's."""
    dataset = dataset or ToyPlugin(each=30)
    wanted = RunSettings(workers=0, results_dir=folder, **settings)
    asked = [Asked(models[0].card.name)], [Asked("toy")]
    hosts = [toy_host([model], [dataset]) for model in models]
    if listener is not None:
        assert hosts[0].add(listener, "listener").error is None

    def maker(make: Maker, host: Any) -> Callable[[Ranks], Assistant]:
        return lambda ranks: make(ranks, host, *asked, wanted)

    others = [maker(make, host) for make, host in zip(makers, hosts[1:], strict=True)]
    with ranks_of(*others) as ranks, monkeypatch.context() as patched:
        patched.setattr(evaluate, "ranks_for", lambda *_: ranks)
        return evaluate.evaluate_all(hosts[0], *asked, wanted, watcher or Watcher())
