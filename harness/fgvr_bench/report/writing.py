"""How data become files that a page may load from disk, and text that no browser takes for code."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import json_pieces, read_json, write_json, write_text, write_texts
from fgvr_bench.core.scratch import Pile
from fgvr_bench.errors import FgvrError, UsageError
from fgvr_bench.report.pictures import file_name, put

if TYPE_CHECKING:
    from jinja2 import Environment

FORMAT = "fgvr-bench/report"
VERSIONS = (1,)
MANIFEST = "report.json"
"""Says that a folder is a report, so that the next one may take its place."""
VENDORED = ("d3.js", "plot.js")
LICENCES = ("d3.LICENSE.txt", "plot.LICENSE.txt")
OWN = ("base.js", "store.js", "charts.js", "board.js", "run.js", "browse.js", "question.js", "app.js")
"""In the order in which they are loaded."""
TOGETHER = 100
"""Pictures in one block of a single file."""


def script_json(value: Any) -> Iterator[str]:
    r"""Yield JSON that can stand in a script: ASCII, and without ``<``, so that no text ends or opens a tag.

    >>> print(*script_json(["</script>", "\u202e"]))
    ["\u003c/script>","\u202e"]
    """
    return (text.replace("<", "\\u003c") for text in json_pieces(value, indent=None))


@cache
def asset(path: str) -> str:
    """Return a text file of this package."""
    return files("fgvr_bench.report").joinpath(path).read_text(encoding="utf-8")


def environment() -> Environment:
    """Return the templates; whatever is put into them is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(lambda name: asset(f"templates/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )


def own_script() -> str:
    """Return what the browser runs, the project's own part."""
    return "\n".join(asset(f"static/{name}") for name in OWN)


class Target(ABC):
    """Where a report goes."""

    def __init__(self) -> None:
        self.bytes = 0
        """How much was written so far, pictures included."""

    @abstractmethod
    def data(self, name: str, value: Any) -> None:
        """Take a piece of data that the page may ask for by `name`."""

    @abstractmethod
    def picture(self, album: str, place: int, source: Path) -> None:
        """Take a thumbnail; the page asks for it by album and place.  One that is there already is taken once."""

    @abstractmethod
    def finish(self, context: Mapping[str, Any]) -> Path:
        """Write the page, last of all, and return the file to open."""


class Folder(Target):
    """A folder: the page, its scripts, and data in files that are loaded when they are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file that is no page.", hint="Name a folder, or a file that ends in .html.")
        if path.exists() and any(path.iterdir()):
            self._check_ours()
            shutil.rmtree(path / "data", ignore_errors=True)
        write_json(path / MANIFEST, {"format": FORMAT, "version": VERSIONS[-1]})

    def _check_ours(self) -> None:
        try:
            read_json(self.path / MANIFEST, FORMAT, VERSIONS)
        except FgvrError as error:
            raise FgvrError(
                f"{self.path} is not empty and holds no report; it is left as it is.", hint="Name a new folder."
            ) from error

    def data(self, name: str, value: Any) -> None:
        """Write ``data/<name>.js``, which hands its value to the page: a page from disk cannot fetch files."""
        path = self.path / "data" / f"{name}.js"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "w", encoding="ascii", newline="\n") as file:
                file.writelines(chain([f"fgvr.take({json.dumps(name)},"], script_json(value), [");\n"]))
                self.bytes += file.tell()
        except OSError as error:
            raise FgvrError(f"cannot write {path}: {error.strerror or error}.") from error

    def picture(self, album: str, place: int, source: Path) -> None:
        """Put the thumbnail into the album's folder."""
        put(source, self.path / "pictures" / album / file_name(place))
        self.bytes += source.stat().st_size

    def finish(self, context: Mapping[str, Any]) -> Path:
        """Write scripts and styles, then ``index.html``."""
        texts = {
            "assets/report.css": asset("static/report.css"),
            "assets/report.js": own_script(),
            **{f"assets/{name}": asset(f"vendor/{name}") for name in (*VENDORED, *LICENCES)},
        }
        policy = "script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; img-src 'self' file: data:"
        for name, text in texts.items():
            write_text(self.path / name, text)
            self.bytes += len(text.encode())
        page = self.path / "index.html"
        write_texts(page, _page(context, policy, single=False))
        self.bytes += page.stat().st_size
        return page


class File(Target):
    """One file that holds everything."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        check_page(path)
        self._data = Pile[tuple[str, str]]()
        self._pictures: dict[str, dict[int, str]] = {}

    def data(self, name: str, value: Any) -> None:
        """Keep the data for the page."""
        self._data.add((name, "".join(script_json(value))))

    def picture(self, album: str, place: int, source: Path) -> None:
        """Keep the thumbnail, with its neighbours, as a data URI."""
        uri = "data:image/webp;base64," + base64.b64encode(source.read_bytes()).decode()
        self._pictures.setdefault(f"pictures/{album}/{place // TOGETHER}", {})[place] = uri

    def finish(self, context: Mapping[str, Any]) -> Path:
        """Write the page."""
        scripts = [*(asset(f"vendor/{name}") for name in VENDORED), own_script()]
        scripts = [script.replace("</script", "<\\/script") for script in scripts]
        hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
        policy = f"script-src {hashes}; style-src 'unsafe-inline'; img-src data:"
        pictures = ((name, "".join(script_json(found))) for name, found in self._pictures.items())
        inside = {"style": asset("static/report.css"), "scripts": scripts, "data": chain(self._data, pictures)}
        write_texts(self.path, _page(context, policy, single=True, **inside))
        self.bytes = self.path.stat().st_size
        return self.path


MARK = '<meta name="generator" content="fgvr-bench report">'
"""Stands in every page, so that a page is never written over anything else."""


def check_page(path: Path) -> None:
    """Make sure that a page may be written to `path`: nothing is there, or an older page.

    Raises:
        FgvrError: something else is.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Name a file that ends in .html.")
    if path.exists() and MARK not in path.read_bytes()[:4096].decode("utf-8", "replace"):
        raise FgvrError(f"{path} is no page of fgvr-bench; it is left as it is.", hint="Name a new file.")


def visible(text: object) -> str:
    """Return text with a sign in the place of each character that would move a cursor or turn a line round."""
    kept = {"\n", "\t"}
    return "".join(char if char.isprintable() or char in kept else f"⟨U+{ord(char):04X}⟩" for char in str(text))


def target_for(out: Path) -> Target:
    """Return where a report goes: one file where `out` ends in ``.html``, else a folder.

    Raises:
        FgvrError: something else is there.
    """
    return File(out) if out.suffix.lower() in {".html", ".htm"} else Folder(out)


def _page(context: Mapping[str, Any], policy: str, single: bool, **inside: Any) -> Iterator[str]:
    values = {**context, "mark": MARK, "policy": policy, "single": single, "licences": _licences(), **inside}
    for text in environment().get_template("report.html").generate(values):
        yield text.encode("utf-8", "replace").decode()  # lone surrogates of a hostile label


def _licences() -> list[str]:
    return [asset(f"vendor/{name}") for name in LICENCES]


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
