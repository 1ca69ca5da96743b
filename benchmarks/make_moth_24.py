"""Makes what is committed of moth-24: the digests of its splits, the field guide and its pictures.

    python benchmarks/make_moth_24.py            write them
    python benchmarks/make_moth_24.py --check    say what is stale; exit status 1 if anything is
    python benchmarks/make_moth_24.py --time     milliseconds an image

Drawing is the same everywhere to the bit; JPEG encoders are not, so pictures are compared with a tolerance.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fgvr_bench.types import Split
from fgvr_datasets import moth_24
from fgvr_datasets._moth_drawing import draw_plate
from fgvr_datasets._moth_draws import Draws
from fgvr_datasets._moth_species import GENERA, SPECIES, Genus, Species, describe, differences
from fgvr_datasets.moth_24 import Moth24, MothImage, draw_digest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "moth-24.md"
PICTURES = ROOT / "docs" / "images" / "moth-24"
DIGESTS = Path(moth_24.__file__).with_suffix(".sha256")
TOLERANCE = 6
"""Mean difference of a committed picture from its drawing, in grey levels, that JPEG may make."""

VARIES = {
    "fringe": "the fringe is plain, chequered or dark",
    "band_form": "bands are straight or wavy",
    "bands": "there are one, two or three bands",
    "spot": "the spot is a dot, a ring or a bar",
    "abdomen": "the abdomen is plain or ringed",
}
INTRODUCTION = """\
<!-- Made by: python benchmarks/make_moth_24.py -->
# moth-24: a field guide

![One moth of each species; the four of a genus stand side by side](images/moth-24/all.jpg)

`moth-24` is a dataset that draws itself: 24 species of moths in 6 genera, seen from above on bark, moss, leaves, stone
and wood. Nothing is downloaded, and no model has been trained on it. A picture follows from its split, species and
number alone and is the same, pixel for pixel, on every platform.

* **Genera** differ in the shape of the wings and in their ground colour: easy to tell apart.
* **Species** of a genus differ in two attributes of two values each, so siblings differ in one or both of them. Names
  are those of places and say nothing; without this guide nobody can name a species.
* **One attribute of each genus varies** between individuals and says nothing. What tells species apart in one genus is
  noise in another.
* **Nuisance:** how the moth is turned (±40°) and how large it is, light, tint, what it sits on, its shadow, grass
  across it, blur and noise.

| split | images | of each species |
|---|---|---|
{splits}

`anonymous_moths(count)` of `fgvr_datasets.moth_24` draws moths with any combination of attributes and no name, to teach
an encoder to see without teaching it names, and `Moth24().train(per_species)` as many train images as are wanted.
Pictures are drawn at 192 × 192 pixels and can be told apart at 96.

In the pictures below the first moth of each row is a plate; the other two are images of the train split.
"""


def told_by(species: Species) -> str:
    """Return what tells a species from its siblings, in a line."""
    return ", ".join(differences(species))


def genus_text(genus: Genus) -> str:
    """Return a genus's section."""
    typical = genus.typical
    rows = [
        f"| ![{species.label}](images/moth-24/{species.slug}.jpg) | **{species.label}**: {told_by(species)} |"
        for species in SPECIES
        if species.genus is genus
    ]
    return "\n".join(
        [
            f"## {genus.name}",
            "",
            f"Wings {typical.wing}, {typical.ground}. Between individuals {VARIES[genus.varies]}, which says nothing.",
            "",
            "| | what tells it from its siblings |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def page_text() -> str:
    """Return the whole field guide."""
    splits = "\n".join(
        f"| {split} | {count * len(SPECIES):,} | {count} |" for split, count in moth_24.PER_SPECIES.items()
    )
    descriptions = "\n".join(f"* {species.label}: {describe(species)}" for species in SPECIES)
    closing = f"## Descriptions\n\nWhat `Moth24().description(label)` returns:\n\n{descriptions}\n"
    return "\n".join([INTRODUCTION.format(splits=splits), *map(genus_text, GENERA), closing])


def species_picture(species: Species) -> np.ndarray[Any, Any]:
    """Return a plate and two train images that show the other values of what varies, side by side."""
    variants = species.genus.variants
    plate = draw_plate(species.attributes(variants[0]), Draws("plate", species.slug))
    shown = [getattr(example_image(species, number).attributes(), species.genus.varies) for number in range(24)]
    chosen = [shown.index(variant) for variant in variants[-2:]]
    return np.hstack([plate, *(example_image(species, number).pixels() for number in chosen)])


def example_image(species: Species, number: int) -> MothImage:
    """Return an image of the train split."""
    return MothImage(str(Split.TRAIN), species.slug, number)


def pictures() -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield name and pixels of every picture of the page."""
    rows = [
        np.hstack([example_image(species, 3).pixels() for species in SPECIES if species.genus is genus])
        for genus in GENERA
    ]
    yield "all", np.hstack([np.vstack(rows[:3]), np.vstack(rows[3:])])
    for species in SPECIES:
        yield species.slug, species_picture(species)


def digest_text() -> str:
    """Draw all three splits and return their digests."""
    dataset = Moth24()
    return "".join(f"{draw_digest(dataset.examples(split))}  {split}\n" for split in Split)


def write() -> None:
    """Write digests, page and pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures():
        Image.fromarray(pixels).save(PICTURES / f"{name}.jpg", quality=84, optimize=True)
    PAGE.write_text(page_text(), encoding="utf-8")
    DIGESTS.write_text(digest_text(), encoding="utf-8")


def stale(with_digests: bool = True) -> list[str]:
    """Return a line for each committed thing that is not what would be made now."""
    problems = []
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page_text():
        problems.append(f"{PAGE} is stale")
    for name, pixels in pictures():
        path = PICTURES / f"{name}.jpg"
        if not path.exists():
            problems.append(f"{path} is missing")
            continue
        found = np.asarray(Image.open(path).convert("RGB")).astype(np.int32)
        if found.shape != pixels.shape or abs(found - pixels).mean() > TOLERANCE:
            problems.append(f"{path} is stale")
    if with_digests and DIGESTS.read_text(encoding="utf-8") != digest_text():
        problems.append(f"{DIGESTS} is stale")
    return problems


def milliseconds(images: int = 240) -> float:
    """Return the time that drawing one image takes on one core, tables made."""
    examples = Moth24().examples("validation")
    sources = [examples[number * len(examples) // images].image for number in range(images)]
    for source in sources[:: images // 24]:
        source.read()
    start = time.process_time()
    for source in sources:
        source.read()
    return (time.process_time() - start) * 1000 / images


def main() -> None:
    """Write, check or time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    if arguments.time:
        print(f"{milliseconds():.2f} ms an image")
    elif arguments.check:
        problems = stale()
        print("\n".join(problems) or "all current")
        sys.exit(bool(problems))
    else:
        write()


if __name__ == "__main__":
    main()
