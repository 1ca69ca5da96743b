"""Take the picture of a report that the README shows: the committed results, in the machine's Chromium.

python scripts/picture_of_report.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from fgvr_bench.core.host import host
from fgvr_bench.core.index import Index
from fgvr_bench.report.build import ReportSettings, build_report

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "report.jpg"
MODEL = "moth-clip"
WIDTH, HEIGHT = 1280, 1000


def take(page: Path, state: str, target: Path) -> None:
    """Open a page at a state and save what a reader sees of it."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if program is None:
        sys.exit("There is no Chromium on this machine; on Debian: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(page.as_uri() + state)
        tab.wait_for_function("state => document.body.dataset.ready === state", arg=state)
        tab.wait_for_function("() => [...document.images].slice(0, 16).every((each) => each.complete)")
        tab.screenshot(path=target, type="jpeg", quality=82)
        browser.close()


def main() -> None:
    """Build the report of the committed results in a temporary folder and take its picture."""
    with tempfile.TemporaryDirectory() as folder, Index() as index:
        runs = index.read([ROOT / "results"], host()).runs
        shown = next(each.run for each in runs if each.run.model == MODEL and each.run.column.shown == "shown")
        built = build_report(host(), runs, Path(folder) / "report", ReportSettings(title="moth-24"), index=index)
        if built.page is not None:
            take(built.page, f"#view=run&run={shown.run_id}", PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
