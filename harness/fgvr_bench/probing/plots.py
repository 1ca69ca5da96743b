"""A study in pictures: probes by layer, and where pictures and names lie.  As SVG and PNG, by matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import atomic_writer
from fgvr_bench.probing.study import Map, Study

FORMATS = ("svg", "png")
PROBES = {
    "linear probe": ("linear", "accuracy"),
    "nearest neighbours": ("neighbours", "accuracy"),
    "retrieval, mAP": ("retrieval", "mean average precision"),
}
"""Bars beside one another, and where their figures stand."""
MOST_CLASSES = 20
"""Classes that a map shows: the first ones; more could not be told apart."""
SETTINGS = {"svg.hashsalt": "fgvr-bench", "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}


def write_plots(study: Study, folder: Path) -> list[Path]:
    """Draw the study into a folder and return the files; the same study gives the same SVG.

    Raises:
        FgvrError: a file cannot be written.
    """
    drawings: dict[str, Callable[[Any], None]] = {"probes": lambda figure: _probes(figure, study)}
    found = study.map
    if found is not None:
        drawings["alignment"] = lambda figure: _map(figure, found)
    return [path for name, draw in drawings.items() for path in _write(folder / name, draw)]


def _write(stem: Path, draw: Callable[[Any], None]) -> list[Path]:
    import matplotlib
    from matplotlib.figure import Figure

    paths = [stem.with_suffix(f".{kind}") for kind in FORMATS]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(8.5, 4.2), layout="constrained")
        draw(figure)
        for path, kind in zip(paths, FORMATS, strict=True):
            with atomic_writer(path) as file:
                figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return paths


def _probes(figure: Any, study: Study) -> None:
    axes = figure.subplots()
    width = 0.8 / len(PROBES)
    for number, (name, (group, key)) in enumerate(PROBES.items()):
        found = [space[group][key] for space in study.spaces.values()]
        known = [(place, each) for place, each in enumerate(found) if each["value"] is not None]
        heights = [100 * each["value"] for _, each in known]
        below = [height - 100 * each["interval"][0] for height, (_, each) in zip(heights, known, strict=True)]
        above = [100 * each["interval"][1] - height for height, (_, each) in zip(heights, known, strict=True)]
        places = [place + (number - (len(PROBES) - 1) / 2) * width for place, _ in known]
        axes.bar(places, heights, width, yerr=[below, above], capsize=2, label=name)
    axes.axhline(100 * study.chance, color="grey", linestyle=":", label="chance")
    axes.set_xticks(range(len(study.spaces)), list(study.spaces))
    axes.set_ylim(0, 100)
    axes.set_ylabel("%")
    axes.set_title("What the features hold of the class")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(PROBES) + 1, frameon=False)


def _map(figure: Any, found: Map) -> None:
    """Draw embeddings on their two main axes: as they are, where a gap shows, and each kind centred."""
    import numpy as np

    from fgvr_bench.probing.neighbours import directions

    shown = found.classes < MOST_CLASSES
    nothing = np.zeros(found.names.shape[1])
    kinds = {
        "as they are": (nothing, nothing),
        "each kind centred": (found.pictures.mean(axis=0), found.names.mean(axis=0)),
    }
    for axes, (title, (middle, of_names)) in zip(figure.subplots(1, 2), kinds.items(), strict=True):
        pictures = directions(found.pictures[shown], middle)
        names = directions(found.names[:MOST_CLASSES], of_names)
        both = np.concatenate([pictures, names])
        _, _, main = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
        flat = (both - both.mean(axis=0)) @ (main[:2] * np.sign(main[:2].sum(axis=1, keepdims=True))).T
        dots, stars = flat[: len(pictures)], flat[len(pictures) :]
        axes.scatter(*dots.T, c=found.classes[shown], cmap="tab20", vmin=0, vmax=MOST_CLASSES - 1, s=6, alpha=0.6)
        axes.scatter(
            *stars.T,
            c=range(len(stars)),
            cmap="tab20",
            vmin=0,
            vmax=MOST_CLASSES - 1,
            s=90,
            marker="*",
            edgecolors="black",
            linewidths=0.6,
        )
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    more = f" (the first {MOST_CLASSES} of {len(found.labels)} classes)" if len(found.labels) > MOST_CLASSES else ""
    figure.suptitle(f"Pictures (dots) and names (stars), a colour a class{more}")
