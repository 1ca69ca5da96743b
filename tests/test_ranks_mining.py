"""Mining over ranks gives the sets of one process; images are embedded once, by whoever gets on."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner
from PIL import Image
from rank_toys import ranks_of

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.assisting import Assistant
from fgvr_bench.core.host import host
from fgvr_bench.core.options import OptionSet, find_or_build
from fgvr_bench.core.ranks import Ranks, leading
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.miners import sharing


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Lay out 60 small pictures of 6 classes, one of them damaged."""
    draw = random.Random(0)
    for label in ("Dunlin", "Knot", "Ruff", "Sanderling", "Stint", "Whimbrel"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            picture = Image.new("RGB", (12, 9), tuple(draw.choices(range(256), k=3)))
            picture.putpixel((draw.randrange(12), draw.randrange(9)), (255, 255, 255))
            picture.save(tmp_path / "photos" / label / f"{number:02}.png")
    (tmp_path / "photos" / "Knot" / "07.png").write_bytes(b"damaged")
    return tmp_path / "photos"


def mine(photos: Path, clip: Path, **args: str) -> OptionSet:
    plugin, argument = host().datasets.find(f"folder:{photos}")
    given = {name.replace("_", "-"): value for name, value in args.items()}
    settings = MiningSettings(
        device="cpu", batch_size=4, workers=0, args={"model": str(clip), **given}, dataset_name=f"folder:{photos}"
    )
    return find_or_build(plugin.open([], argument), "test", "clip", settings)


def over_ranks(photos: Path, clip: Path, others: int = 2, **args: str) -> OptionSet:
    def make(ranks: Ranks) -> Assistant:
        return Assistant(ranks, host(), [], [], RunSettings())

    with ranks_of(*[make] * others) as ranks, leading(ranks):
        return mine(photos, clip, **args)


def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images of every batch that other ranks embed; rank 0 waits after its first one for one of theirs."""
    counts: list[int] = []
    first = threading.Event()
    embed_for, look_around = sharing.embed_for, Ranks.look_around

    def counting(ranks: Ranks, *given: Any, **content: Any) -> Any:
        put = ranks.put

        def noted(key: str, data: bytes) -> None:
            if key.rpartition("/")[2].isdigit() and key.startswith("embed/") and "beside" not in key:
                counts.append(len(sharing.Embedded.from_bytes(data).indices))
                first.set()
            put(key, data)

        ranks.put = noted  # type: ignore[method-assign]
        return embed_for(ranks, *given, **content)

    def patient(self: Ranks) -> None:
        if self.place.rank == 0:
            first.wait(30)
        look_around(self)

    monkeypatch.setattr(sharing, "embed_for", counting)
    monkeypatch.setattr(Ranks, "look_around", patient)
    return counts


def test_three_ranks_mine_the_bytes_of_one(
    photos: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = mine(photos, clip).path.read_bytes()
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path / "other"))
    counts = computed(monkeypatch)
    shared = over_ranks(photos, clip)
    assert shared.path.read_bytes() == alone
    assert shared.header["found"]["unreadable"] == 1
    assert sum(counts) > 0
    begun = len(counts)
    over_ranks(photos, clip, template="a photo of a {label}")  # embeddings are there: nobody is asked for any
    assert len(counts) == begun


def test_a_fast_pass_over_ranks_ends_with_the_same_sets(
    photos: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"precision": "fast", "dtype": "float32", "fast_dtype": "bfloat16"}
    alone = mine(photos, clip, **given)
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path / "other"))
    shared = over_ranks(photos, clip, **given)
    assert shared.digest == alone.digest
    one, other = (made.header["found"]["fast_pass"] for made in (alone, shared))
    assert (one["calibrated_on"], one["audited_on"]) == (other["calibrated_on"], other["audited_on"])
    assert other["audit_sets_different"] == 0


def test_a_rank_that_comes_too_late_for_any_batch_is_no_trouble(photos: Path, clip: Path) -> None:
    # 16 ranks and 15 batches.
    given = {"precision": "fast", "dtype": "float32", "fast_dtype": "bfloat16"}
    assert over_ranks(photos, clip, others=15, **given).header["found"]["fast_pass"]["audit_sets_different"] == 0


def test_a_rank_with_another_dataset_is_named(photos: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "dataset_digest", lambda *_: "ab")
    with pytest.raises(FgvrError, match=r"rank 1 on .*: it has another folder:.* test: its digest is ab, not"):
        over_ranks(photos, clip, others=1)


@pytest.mark.skipif(sys.platform == "win32", reason="processes of one machine")
def test_two_processes_that_the_command_starts_mine_the_set_of_one(photos: Path, clip: Path, tmp_path: Path) -> None:
    command = ["options", "build", "-d", f"folder:{photos}", "--miner", "clip", "--miner-arg", f"model={clip}"]
    command += ["--device", "cpu", "--batch-size", "4", "--workers", "0", "--out", str(tmp_path / "set.jsonl")]
    done = CliRunner().invoke(fgvr_bench, [*command, "--num-processes", "2"])
    assert done.exit_code == 0, done.output
    shared = (tmp_path / "set.jsonl").read_bytes()
    for path in Path(mine(photos, clip).path).parent.parent.parent.rglob("*.*"):
        if path.suffix in {".jsonl", ".f32", ".json"}:
            path.unlink()
    assert mine(photos, clip).path.read_bytes() == shared
