"""Images of a dataset: read in worker processes, the same every time, and by nobody before."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import poisoned
from fgvr_bench.types import Example, ImageSource

PICTURES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".gif", ".webp", ".tif", ".tiff")


_opening: list[list[str]] = []
"""Lists of files that are being noted, innermost last; the audit hook cannot be taken away, only left idle."""
_hooked: list[bool] = []


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if _opening and event == "open" and arguments and isinstance(arguments[0], str | bytes):
        name = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode(errors="replace")
        if name.lower().endswith(PICTURES):
            _opening[-1].append(name)


@contextlib.contextmanager
def noting_pictures() -> Iterator[list[str]]:
    """Yield a list of the picture files that are opened while the block runs."""
    if not _hooked:
        sys.addaudithook(_note_opened)
        _hooked.append(True)
    seen: list[str] = []
    _opening.append(seen)
    try:
        yield seen
    finally:
        _opening.remove(seen)


def look_at_images(found: Findings, split: str, examples: Sequence[Example], images: int) -> None:
    """Check some images of a split, spread evenly: as worker processes get and read them."""
    count = min(images, len(examples))
    for place in {round(number * (len(examples) - 1) / max(1, count - 1)) for number in range(count)}:
        example = examples[place]
        source = example.image
        if not isinstance(source, ImageSource):
            found.wrong(f"The image of {example.example_id} is a {type(source).__name__} without read() -> bytes.")
            continue
        try:
            carried = pickle.loads(pickle.dumps(source))  # noqa: S301 - what was just made of it
        except Exception as problem:
            found.wrong(
                f"The image source of {example.example_id} cannot be sent to worker processes ({described(problem)}). "
                "Hold a path or plain values, at the top of a module, and no open file or lambda."
            )
            carried = source
        _look_at_picture(found, example, source, carried)


def _look_at_picture(found: Findings, example: Example, source: ImageSource, carried: ImageSource) -> None:
    try:
        with poisoned(1):
            data = carried.read()
        with poisoned(2):
            again = source.read()
    except Exception as problem:
        found.wrong(f"The image of {example.example_id} cannot be read: {described(problem)}.")
        return
    if not isinstance(data, bytes):
        found.wrong(f"read() of {example.example_id} returns a {type(data).__name__}; it returns the encoded bytes.")
        return
    found.need(data == again, f"The image of {example.example_id} has other bytes when it is read again.")
    try:
        decode_image(data)
    except ImageInvalid as problem:
        found.wrong(f"The image of {example.example_id} cannot be shown: {problem}.")
