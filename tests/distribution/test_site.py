"""The site is built strictly: links lead somewhere, pages have their place, and nothing is asked of a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import browser
import pytest
from overlay import ROOT

pytest.importorskip("mkdocs", reason="the site is built with mkdocs-material (make installs it)")

LOADS = {"script": "src", "link": "href", "img": "src", "source": "srcset", "iframe": "src", "video": "src"}
"""Tags by which a page loads something, and the attribute that says from where."""


class Page(HTMLParser):
    """What a page of the site links to, loads, shows and can be linked at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.prose: list[str] = []
        self._code = 0
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for key, value in attrs if key in ("id", "name") and value}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in LOADS and given.get(LOADS[tag]) and given.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(str(given[LOADS[tag]]))
        self._code += tag in ("code", "pre", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.prose.append(data)


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *arguments],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}


def test_every_page_of_docs_is_on_the_site(site: Path) -> None:
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert len(sources) > 15
    missing = [
        str(path) for path in sources if path.name != "README.md" and not (site / path.with_suffix(".html")).exists()
    ]
    assert missing == []
    assert (site / "index.html").exists()


def test_every_link_leads_to_a_place_that_is_there(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for file, page in pages.items():
        for link in page.links:
            address, fragment = urldefrag(link)
            if re.match(r"(https?|mailto):", address):
                continue
            target = (file.parent / unquote(address)).resolve() if address else file
            shown = pages.get(target)
            there = target.exists() and (not fragment or shown is None or unquote(fragment) in shown.ids)
            dead += [] if there else [f"{file.relative_to(site)}: {link}"]
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert dead == []


def test_everything_that_a_page_loads_lies_beside_it(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {(file, address) for file, page in pages.items() for address in page.loads}
    absent = [
        (file.relative_to(site), address)
        for file, address in loaded
        if not address.startswith("data:") and not (file.parent / unquote(urldefrag(address)[0].split("?")[0])).exists()
    ]
    assert absent == []
    sheets = [sheet.read_text() for sheet in site.rglob("*.css")]
    assert sheets
    assert [url for sheet in sheets for url in re.findall(r"url\(['\"]?(https?:[^)]+)", sheet)] == []


def test_lists_tables_and_code_are_rendered_as_on_github(pages: dict[Path, Page]) -> None:
    # Python-Markdown wants an empty line before a list, and four spaces before what belongs to an item.
    raw = re.compile(r"^\s*(?:[*-] |\d+\. \S|\|.*\||`{3})|\]\(", re.MULTILINE)
    left = {
        file.name: found for file, page in pages.items() if (found := [text for text in page.prose if raw.search(text)])
    }
    assert left == {}
    broken = [
        path.name for path in (ROOT / "docs").rglob("*.md") if re.search(r"^ {1,3}```", path.read_text(), re.MULTILINE)
    ]
    assert broken == []


def test_what_is_generated_in_the_pages_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# A page\n\nSee [another](gone.md).\n")
    settings = [f"INHERIT: {ROOT / 'mkdocs.yml'}", f"docs_dir: {docs}", "hooks: []", "nav: [index.md]"]
    (tmp_path / "mkdocs.yml").write_text("\n".join(settings))
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode == 1
    assert done.stderr.count("WARNING") == 1
    assert "Doc file 'index.md' contains a link 'gone.md'" in done.stderr


def test_it_opens_from_disk_and_is_searched_without_a_server(site: Path) -> None:
    with browser.browser() as started, browser.opened(started) as shown:
        shown.page.goto((site / "index.html").as_uri())
        shown.page.click(".md-search__input", force=True)
        shown.page.keyboard.type("hierarchical precision")
        shown.page.wait_for_selector(".md-search-result__item a[href*='protocols.html']")


def test_what_the_site_brings_along_is_as_published() -> None:
    # iframe-worker 1.0.4, shim/index.js: lets a page from disk search, where browsers allow it no worker.
    import hashlib

    shim = (ROOT / "docs" / "assets" / "iframe-worker.js").read_bytes()
    assert hashlib.sha256(shim).hexdigest() == "e8e412dbcfea9b7e31b5ffa288d7b6035915e714c542f4176a0cdbe262fc9609"
    assert "Martin Donath" in (ROOT / "docs" / "assets" / "iframe-worker.LICENSE.txt").read_text()
