"""Whoever is slow at whatever moment: ranks that are held up at every hand-over end with the bytes of one process.

``FGVR_TEST_ROUNDS=100`` is the long form; see docs/reliability.md.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rank_toys import play_over_ranks
from test_ranks import Listener
from test_ranks_mining import clip, mine, over_ranks, photos  # noqa: F401 - fixtures
from test_run_story import files_of, play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench.core.assisting import Assistant
from fgvr_bench.core.parts import PartWriter
from fgvr_bench.core.ranks import Ranks
from fgvr_bench.types import Prompt, Response

ROUNDS = int(os.environ.get("FGVR_TEST_ROUNDS", "1"))
HAND_OVERS = [(Ranks, name) for name in ("order", "reply", "put", "take", "fetch", "count")] + [(PartWriter, "close")]


def hold_up(monkeypatch: pytest.MonkeyPatch, draw: random.Random) -> None:
    """Let every hand-over wait before and after: mostly not at all, sometimes for long."""

    def wait() -> None:
        time.sleep(draw.choice([0.0] * 24 + [0.002] * 7 + [0.1 * draw.random()]))

    def held_up(before: Any) -> Any:
        def function(*given: Any, **more: Any) -> Any:
            wait()
            try:
                return before(*given, **more)
            finally:
                wait()

        return function

    for kind, name in HAND_OVERS:
        monkeypatch.setattr(kind, name, held_up(getattr(kind, name)))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_over_ranks_held_up_anywhere_and_resumed_by_others_ends_with_the_bytes_of_one(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(number)
    dataset = ToyPlugin(each=10, broken=frozenset({"Amber/0003", "Sky_blue/0007"}))
    order = Script()
    play(tmp_path / "order", ToyModel("oracle", order), dataset)
    bad = frozenset(draw.sample(order.asked, draw.choice([0, 1, 5])))

    class Paced(Script):
        pace = 0.0

        def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
            time.sleep(self.pace * draw.random())
            return super().respond(prompts, batch)

    play(tmp_path / "alone", ToyModel("oracle", Script(fail_on=bad)), dataset)
    listener = Listener()
    hold_up(monkeypatch, draw)
    for limit in (draw.randrange(1, 40), None):
        models = [ToyModel("oracle", Paced(fail_on=bad)) for _ in range(draw.choice([2, 3, 4, 8, 20]))]
        for model in models:
            model.model.pace = draw.choice([0.0, 0.01, 0.05, 0.3])  # type: ignore[attr-defined]
        others = [Assistant] * (len(models) - 1)
        done = play_over_ranks(tmp_path / "many", monkeypatch, models, others, listener, None, dataset, limit=limit)
        assert not done.errors
    assert files_of(tmp_path / "many") == files_of(tmp_path / "alone")
    assert len(listener.told) == 40
    assert set(listener.told.values()) == {1}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_mining_over_ranks_held_up_anywhere_ends_with_the_sets_of_one(
    number: int,
    photos: Path,  # noqa: F811
    clip: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = random.Random(number)
    for given in ({}, {"precision": "fast", "dtype": "float32", "fast_dtype": "bfloat16"}):
        monkeypatch.setenv("FGVR_CACHE", str(tmp_path / f"alone {len(given)}"))
        alone = mine(photos, clip, **given)
        monkeypatch.setenv("FGVR_CACHE", str(tmp_path / f"many {len(given)}"))
        with monkeypatch.context() as patched:
            hold_up(patched, draw)
            many = over_ranks(photos, clip, draw.choice([1, 2, 3, 7, 15]), **given)
        assert many.digest == alone.digest
        if not given:
            assert many.path.read_bytes() == alone.path.read_bytes()
