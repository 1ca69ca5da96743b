"""Rows of both stages for a number of shots, made by the training package from moth-24's train split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.host import host
from fgvr_bench.core.locks import lock
from fgvr_bench.core.progress import quiet
from fgvr_bench.interfaces import MiningSettings
from fgvr_datasets._moth_species import GENERA, SPECIES

if TYPE_CHECKING:
    from finedefics.rows import TrainingRow

DATASET = "moth-24"
HELD_OUT = tuple([s.label for s in SPECIES if s.genus is genus][-1] for genus in GENERA)
"""One species of each genus, the last in its list."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows are wanted."""

    shots: int = 8
    seed: int = 0
    """Draws the images, the descriptions of negatives, and the order of choices."""
    options: str = "clip"
    """Who chooses the wrong answers of stage II."""
    negatives: str = "clip"
    """Who chooses stage I's."""
    names: bool = False
    """Names in place of descriptions."""
    hold_out: bool = False
    """Leave `HELD_OUT` out altogether."""

    @property
    def key(self) -> str:
        """The wish as a folder's name."""
        parts = [str(self.shots), str(self.seed), self.options, self.negatives]
        return "-".join([*parts, *(["names"] if self.names else []), *(["held-out"] if self.hold_out else [])])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of both stages over the same images."""

    align: list[TrainingRow]
    tune: list[TrainingRow]


def rows_for(wish: Wish, folder: Path) -> Rows:
    """Return the rows of a wish; files are made below `folder` once."""
    from finedefics.data.building import FILES
    from finedefics.rows import read_rows

    out = folder / wish.key
    with lock(folder / f"{wish.key}.lock", "making rows", waiting=lambda words: None):
        if not (out / "report.json").exists():
            _make(wish, out)
    return Rows(read_rows(out / FILES["align"]), read_rows(out / FILES["tune"]))


def _make(wish: Wish, out: Path) -> None:
    from finedefics.data.building import build_data
    from finedefics.data.descriptions import write_descriptions
    from finedefics.data.metadata import from_metadata
    from finedefics.data.selecting import open_dataset, select
    from finedefics.data.settings import BuildSettings

    out.mkdir(parents=True, exist_ok=True)
    held = out / "held-out.txt"
    held.write_text("".join(f"{label}\n" for label in HELD_OUT), encoding="utf-8")
    described = out / "descriptions.jsonl"
    settings = BuildSettings(
        (DATASET,),
        out,
        descriptions=() if wish.names else (described,),
        names=wish.names,
        options=(wish.options,),
        negatives_from=(wish.negatives,),
        hold_out={DATASET: str(held)} if wish.hold_out else {},
        shots=wish.shots,
        seed=wish.seed,
        mining=MiningSettings(device="cpu", workers=0),
    )
    wanted = settings.wanted(DATASET)
    selected = select(open_dataset(host(), DATASET, (), settings.split), wanted)
    header, rows = from_metadata(selected)
    write_descriptions(described, {**selected.header(wanted), **header}, rows)
    build_data(host(), settings, quiet)
