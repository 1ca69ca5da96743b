"""The page of a comparison: questions that only one of two runs got right, with their pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.compare import Comparison, Flip
from fgvr_bench.core.compare_formats import p_value, points, said_in_words, verdict
from fgvr_bench.core.files import write_text
from fgvr_bench.core.host import Host
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import FgvrError
from fgvr_bench.report.pictures import Album, open_album
from fgvr_bench.report.writing import MARK, asset, check_page, environment

MOST = 400
"""Questions of each direction on a page; more make it slow to open."""


def write_flips(
    host: Host, found: Comparison, path: Path, roots: Sequence[Path] = (), progress: Progress = quiet
) -> list[str]:
    """Write the page, pictures inside it.

    Returns:
        What the user should know: where the page is, what it leaves out, and why it has no pictures.

    Raises:
        FgvrError: the page cannot be written, or something else is there.
    """
    check_page(path)
    notes: list[str] = []
    won = [flip for flip in found.flips if flip.a.correct]
    lost = [flip for flip in found.flips if flip.b.correct]
    album: Album | None = None
    try:
        album = open_album(host, found.a.run.column, roots, progress=progress)
    except FgvrError as error:
        notes.append(f"no pictures: {error}")
    shown = [*lost[:MOST], *won[:MOST]]
    pictures = {} if album is None else _pictures(album, shown, progress)
    groups = [
        ("Only B is right", [_card(flip, pictures, album) for flip in lost[:MOST]], len(lost)),
        ("Only A is right", [_card(flip, pictures, album) for flip in won[:MOST]], len(won)),
    ]
    context = {
        "mark": MARK,
        "style": asset("static/report.css"),
        "found": found,
        "groups": groups,
        "verdict": verdict(found),
        "points": points,
        "p_value": p_value,
        "notes": notes,
        "version": __version__,
    }
    page = environment().get_template("flips.html").render(context)
    write_text(path, page.encode("utf-8", "replace").decode())
    left_out = len(won) + len(lost) - len(shown)
    return [
        *notes,
        f"{len(shown):,} changed questions on {path}" + (f"; {left_out:,} more are left out" if left_out else ""),
    ]


def _pictures(album: Album, flips: Sequence[Flip], progress: Progress) -> dict[str, str]:
    """Return a data URI for each example whose image can be read."""
    places = album.places([flip.example_id for flip in flips])
    ids = {place: example_id for example_id, place in places.items()}
    return {
        ids[place]: "data:image/webp;base64," + base64.b64encode(source.read_bytes()).decode()
        for place, source in album.thumbnails(sorted(ids), progress)
        if source is not None
    }


def _card(flip: Flip, pictures: dict[str, str], album: Album | None) -> dict[str, Any]:
    def shown(label: str) -> str:
        return album.dataset.display(label) if album is not None else label.replace("_", " ")

    return {
        "id": flip.question_id,
        "truth": shown(flip.label),
        "picture": pictures.get(flip.example_id),
        "said": [
            {
                "name": name,
                "right": said.correct,
                "words": shown(said.given) if said.given is not None else said_in_words(said),
                "completion": said.completion,
                "rule": said.rule,
            }
            for name, said in (("A", flip.a), ("B", flip.b))
        ],
    }
