"""Pages in a real browser: the machine's Chromium, driven by Playwright; without one, tests of pages skip."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
QUIET_TOO = ("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")


@dataclass
class Opened:
    """A page, and whatever it complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, file: Path, state: str = "") -> None:
        """Open a file of a report at a state, as a link would."""
        self.page.goto(file.as_uri() + state)
        self.settle(state)

    def to(self, state: str) -> None:
        """Change the state of the page that is open."""
        self.page.evaluate("state => { location.hash = state }", state)
        self.settle(state)

    def settle(self, state: str) -> None:
        """Wait until the page shows this state."""
        self.page.wait_for_function("state => document.body.dataset.ready === state", arg=state or "#")


def find_browser() -> str:
    """Return the program, or skip and say so."""
    pytest.importorskip("playwright", reason="pages are tested with playwright: pip install playwright")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("pages are tested in Chromium, which is not on this machine (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium without a window."""
    program = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=[*QUIET, *QUIET_TOO])
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def opened(started: Any, **context: Any) -> Iterator[Opened]:
    """Open an empty page; afterwards nothing may have been complained of, and nothing asked from a network."""
    made = started.new_context(viewport=context.pop("viewport", {"width": 1280, "height": 900}), **context)
    made.set_default_timeout(10_000)
    page = made.new_page()
    found = Opened(page)
    page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.complaints.append(f"error: {error}"))
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("dialog", lambda dialog: (found.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        yield found
        assert found.complaints == []
        assert [url for url in found.requests if not url.startswith(("file:", "data:"))] == []
    finally:
        made.close()
