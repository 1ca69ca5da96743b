"""Hard negatives: for each similar wrong category its name and the description of one of its images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from fgvr_bench.errors import DataInvalid
from fgvr_bench.types import Example, Options


class Negatives:
    """Draws negatives for the images of one dataset, the same on every machine."""

    def __init__(self, texts: Mapping[str, str], examples: Sequence[Example], count: int, seed: int) -> None:
        """Take in what may be drawn.

        Args:
            texts: description (or name) by example id, for every one of `examples`.
            examples: the chosen images.
            count: negatives of an image.
            seed: decides which image of a category lends its description.
        """
        self._texts, self._count, self._seed = texts, count, seed
        pools: dict[str, dict[str, None]] = {}
        for place in range(len(examples)):
            example = examples[place]
            pools.setdefault(example.label, {}).setdefault(texts[example.example_id])
        self._pools = {label: tuple(pool) for label, pool in pools.items()}
        self.left_out = 0
        """Negatives that were left out, because every description of the category is the image's own."""

    def of(self, example: Example, options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return descriptions and names of the most similar wrong categories, pair by pair, the most similar last.

        Raises:
            DataInvalid: none can be told from the image's own description.
        """
        descriptions: list[str] = []
        names: list[str] = []
        for label in options.choices[1:][-self._count :]:
            description = self._draw(label, example.example_id, descriptions)
            if description is None:
                self.left_out += 1
                continue
            descriptions.append(description)
            names.append(label)
        if not names:
            raise DataInvalid(
                f"{example.example_id}: every similar wrong category is described just as it is itself "
                f"({self._texts[example.example_id]!r}).",
                hint="Describe with attributes that tell the classes apart, or give --names-for-descriptions.",
            )
        return tuple(descriptions), tuple(names)

    def _draw(self, label: str, example_id: str, taken: Sequence[str]) -> str | None:
        """Return a description of the label that is not the image's own, one that is not taken yet if there is any."""
        own = self._texts[example_id].casefold()
        pool = [text for text in self._pools[label] if text.casefold() != own]
        pool = [text for text in pool if text not in taken] or pool
        drawn = hashlib.sha256(f"{self._seed}\n{example_id}\n{label}".encode()).digest()
        return pool[int.from_bytes(drawn) % len(pool)] if pool else None
