"""From templates to files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from fgvr_bench import __version__
from fgvr_bench.compatibility import API_VERSION
from fgvr_bench.core.files import write_text
from fgvr_bench.errors import FgvrError
from fgvr_bench.new_plugin.names import Draft

_ENDING = ".jinja"


def render(made: Draft) -> dict[str, str]:
    """Return the files of a new plugin: path below its folder → text."""
    import jinja2

    maker = jinja2.Environment(  # noqa: S701 - what is written is Python and TOML, no page
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    known = {
        "kind": made.kind,
        "name": made.name,
        "distribution": made.distribution,
        "module": made.module,
        "words": made.words,
        "camel": made.camel,
        "run": made.run,
        "api": API_VERSION,
        "version": ".".join(__version__.split(".")[:2]),
    }
    written = {}
    templates = files("fgvr_bench") / "new_plugin" / "templates"
    for folder in ("shared", made.kind):
        for entry in sorted((templates / folder).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(_ENDING):
                path = entry.name.removesuffix(_ENDING).replace("MODULE", made.module).replace("__", "/")
                written[path] = maker.from_string(entry.read_text(encoding="utf-8")).render(known)
    return written


def write(pieces: Mapping[str, str], folder: Path, force: bool = False) -> None:
    """Write the files into a folder that is made for them.

    With `force` files of those names are written again; others that lie there stay.

    Raises:
        FgvrError: the folder holds something already, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise FgvrError(f"{folder} is a file.", hint="Name a folder: --out FOLDER.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise FgvrError(
            f"the folder {folder} is there already and is not empty.",
            hint="Name another with --out FOLDER, or write over its files with --force.",
        )
    for path, text in pieces.items():
        write_text(folder / path, text)
