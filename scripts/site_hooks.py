"""What mkdocs calls while it builds the site: pages link to the repository's other files, and the site has these too.

A link that leads out of ``docs/`` works on GitHub and would be dead on the site.  So each file that is linked becomes
a page below ``repository/`` (Markdown as it is, anything else as a listing of its text, a folder as that of its
files), and the link is turned to it.  Nothing has to know the repository's address.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
ELSEWHERE = "repository"
"""Folder of the site that holds what lies outside ``docs/``."""

IN_NAVIGATION = ("results/LEADERBOARD.md", "CONTRIBUTING.md", "CHANGELOG.md")
LANGUAGES = {".py": "python", ".yml": "yaml", ".cfg": "ini", ".toml": "toml", ".cff": "yaml", ".jsonl": "json"}
LONGEST = 200
"""Lines of a file that its listing shows."""

LINK = re.compile(r"(^ *(`{3,}).*?^ *\2|`[^`\n]*`)|(?<=\]\()([^)\s#]+)(?=[)#\s])", re.DOTALL | re.MULTILINE)
"""Code, which is left alone, or the address of a link or picture."""
PICTURE = re.compile(r'<picture>.*?srcset="([^"]+)".*?<img alt="([^"]*)" src="([^"]+)".*?</picture>', re.DOTALL)


def place(path: str) -> str:
    """Return where the site has the file or folder of a path from the repository's root."""
    if path == "README.md":
        return "README.md"
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    shown = path.replace("/.", "/").lstrip(".")  # mkdocs leaves out what begins with a dot
    return f"{ELSEWHERE}/{shown}" if shown.endswith(".md") else f"{ELSEWHERE}/{shown}.md"


def outward(text: str, path: str) -> set[str]:
    """Return what the Markdown file at `path` links to outside ``docs/``, as paths from the repository's root."""
    targets = {resolved(match[3], path) for match in LINK.finditer(text) if match[3]}
    return {target for target in targets if target and place(target).startswith(f"{ELSEWHERE}/")}


def resolved(link: str, path: str) -> str | None:
    """Return the path from the repository's root that a link in the file at `path` means; None for an address."""
    if re.match(r"[a-z]+:|/|$", link):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target if (ROOT / target).exists() else None


def turned(text: str, path: str) -> str:
    """Return the Markdown of the file at `path` with its links as the site has them."""

    def turn(match: re.Match[str]) -> str:
        target = resolved(match[3], path) if match[3] else None
        return posixpath.relpath(place(target), posixpath.dirname(place(path))) if target else match[0]

    return LINK.sub(turn, PICTURE.sub(r"![\2](\3#only-light)![\2](\1#only-dark)", text))


def listing(path: str) -> str:
    """Return a page that shows a file, or the files of a folder."""
    found = ROOT / path
    files = sorted(found.rglob("*.*")) if found.is_dir() else [found]
    shown = [file for file in files if file.is_file() and "__pycache__" not in file.parts and ".egg" not in str(file)]
    pieces = [f"# {path}\n"]
    for file in shown:
        lines = file.read_text(encoding="utf-8").splitlines()
        cut = f"\nThe first {LONGEST} of {len(lines):,} lines.\n" if len(lines) > LONGEST else ""
        title = f"\n## {file.relative_to(found)}\n" if found.is_dir() else ""
        body = "\n".join(lines[:LONGEST])
        pieces.append(f"{title}{cut}\n`````{LANGUAGES.get(file.suffix, 'text')}\n{body}\n`````\n")
    return "\n".join(pieces)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside ``docs/`` that pages link to, and that those link to."""
    from mkdocs.structure.files import File

    pages = {f"{DOCS}/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    known = set(IN_NAVIGATION)
    open_ends = [*pages, *known]
    while open_ends:
        path = open_ends.pop()
        if not path.endswith(".md"):
            continue
        written = pages.get(path) or (ROOT / path).read_text(encoding="utf-8")
        for target in outward(written, path) - known:
            known.add(target)
            open_ends.append(target)
    for target in sorted(known):
        content = turned((ROOT / target).read_text(), target) if target.endswith(".md") else listing(target)
        files.append(File.generated(config, place(target), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page of ``docs/``."""
    if page.file.src_uri.startswith(f"{ELSEWHERE}/"):
        return markdown
    return turned(markdown, f"{DOCS}/{page.file.src_uri}")
