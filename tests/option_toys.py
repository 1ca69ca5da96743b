"""A dataset of drawn pictures in files, for tests of digests, option sets and miners."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fgvr_bench.interfaces import Dataset, DatasetCard
from fgvr_bench.types import Example, FileImage

LABELS = ("Amber_moth", "Brick moth", "Clay moth", "Dusk moth", "Ember moth", "Frost moth", "Grey moth")
KIN = {"Amber_moth": "Warm", "Brick moth": "Warm", "Clay moth": "Warm", "Ember moth": "Warm"}


class Pictures(Dataset):
    """Pictures of noise on a colour of their class, as PNG files of a folder."""

    card = DatasetCard("pictures", "Drawn pictures", "moths", len(LABELS), options="clip")

    def __init__(self, root: Path, clip: Path | None = None) -> None:
        self.root = root
        self.clip_checkpoint = clip
        self.names = LABELS

    def labels(self) -> Sequence[str]:
        return self.names

    def taxonomy(self, label: str) -> tuple[str, ...]:
        return (KIN.get(label, "Cold"),)

    def examples(self, split: str = "test") -> Sequence[Example]:
        assert self.root is not None
        return [
            Example(
                f"pictures/test/{path.name}", FileImage(str(path)), self.names[int(path.stem) % len(self.names)], split
            )
            for path in sorted(self.root.glob("*.png"))
        ]


def draw_pictures(root: Path, count: int = 21, clip: Path | None = None) -> Pictures:
    """Draw `count` pictures and return them as a dataset."""
    import numpy as np
    from PIL import Image

    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 90, (40, 30 + number % 3, 3))
        colour = np.random.default_rng(1000 + number % len(LABELS)).integers(0, 160, 3)
        path = root / f"{number:04}.png"
        Image.fromarray((noise + colour).astype(np.uint8)).save(path)
        os.utime(path, (1_600_000_000, 1_600_000_000))  # long settled, as downloaded files are
    return Pictures(root, clip)
