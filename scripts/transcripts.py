"""Pages whose commands are typed for real: what they print is compared with what the page shows.

    python scripts/transcripts.py docs/tutorials/*.md            # play them; exit 1 where one is not true
    python scripts/transcripts.py --write docs/tutorials/*.md    # put in what was printed

A block of ``console`` has lines that begin with ``$``, each followed by what it prints; a block with ``title="PATH"``
is a file, written where the page comes to it.  ``export`` holds for the commands after it.  ``...`` stands for
anything; ids of runs, seconds, and the number of tests that passed may differ.
"""

from __future__ import annotations

import argparse
import doctest
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import overlay

BLOCK = re.compile(r'^```(?P<kind>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (?P<typed>.*(?:\\\n.*)*)\n(?P<printed>(?:(?!\$ ).*\n)*)", re.MULTILINE)
SAME = doctest.OutputChecker()


@dataclass(frozen=True)
class Step:
    """A file to write, or a command to type."""

    text: str
    """The file's text, or the command."""
    printed: str = ""
    """What the page says that the command prints."""
    path: str | None = None
    """Where the file goes; None for a command."""


def steps(page: str) -> Iterator[Step]:
    """Yield what a page does, in order."""
    for block in BLOCK.finditer(page):
        if block["title"]:
            yield Step(block["body"], path=block["title"])
        elif block["kind"] == "console":
            yield from (Step(each["typed"], each["printed"]) for each in COMMAND.finditer(block["body"]))


def same(expected: str, printed: str) -> bool:
    """Tell whether what was printed is what a page shows."""
    return SAME.check_output(_plain(expected), _plain(printed), doctest.ELLIPSIS)


def _plain(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{12}\b|\b[\d.]+ ?s\b|\b\d+(?= passed)|^\.+ +(?=\[100%)", "#", text, flags=re.MULTILINE)
    lines = text.strip("\n").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def make_environment(folder: Path, *wheels: Path) -> Path:
    """Make an environment with the wheels and a pip that needs no network; return its folder of programs."""
    programs = overlay.make_overlay(folder).parent
    overlay.install(programs / "python", *wheels)
    pip = programs / "pip"
    pip.write_text('#!/bin/sh\nverb=$1; shift\nexec python -m pip "$verb" --no-index --no-build-isolation "$@"\n')
    pip.chmod(0o755)
    return programs


def play(page: str, folder: Path, programs: Path) -> list[tuple[Step, str]]:
    """Do what a page says in an empty folder; return each command with what it printed.

    Beside the folder lies a home, whose caches serve all pages that are played there.  What a page installs is gone
    when it ends.
    """
    folder.mkdir(parents=True)
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "OMP_NUM_THREADS") if name in os.environ}
    quiet = {"HF_HUB_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    given = {"HOME": str(home), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    told: list[tuple[Step, str]] = []
    exported = ""
    for step in steps(page):
        if step.path is not None:
            (folder / step.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.path).write_text(step.text)
            continue
        done = subprocess.run(
            ["/bin/sh", "-c", exported + step.text], cwd=folder, env={**kept, **quiet, **given}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        told.append((step, done.stdout))
        if step.text.startswith("export "):
            exported += f"{step.text}\n"
    installed = [name for step, _ in told for name in re.findall(r"^pip install -q -e '?([\w-]+)", step.text)]
    if installed:
        pip = [programs / "python", "-m", "pip", "uninstall", "--quiet", "--yes", *installed]
        subprocess.run(pip, cwd=folder, check=True, capture_output=True)
    return told


def differences(told: list[tuple[Step, str]]) -> str:
    """Return where a page is not true, for people to read; empty where it is."""
    wrong = [(step, printed) for step, printed in told if not same(step.printed, printed)]
    return "\n".join(f"$ {step.text}\nshown:\n{step.printed}\nprinted:\n{printed}" for step, printed in wrong)


def rewritten(page: str, told: list[tuple[Step, str]]) -> str:
    """Return the page with what was printed in the place of what differs."""
    for step, printed in told:
        if not same(step.printed, printed):
            lines = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
            page = page.replace(f"$ {step.text}\n{step.printed}", f"$ {step.text}\n{lines}", 1)
    return page


def main() -> int:
    """Play the pages that are named; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="put what was printed into the pages")
    asked = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = overlay.build_wheel(overlay.copy_sources(folder / "source"), folder)
        programs = make_environment(folder / "environment", wheel)
        for page in asked.pages:
            text = page.read_text()
            told = play(text, folder / page.stem, programs)
            if not (wrong := differences(told)):
                print(f"{page}: {len(told)} commands, all as shown")
            elif asked.write:
                page.write_text(rewritten(text, told))
                print(f"{page}: written")
            else:
                status = 1
                print(f"{page} is not true:\n{wrong}")
        shutil.rmtree(folder / "source")
    return status


if __name__ == "__main__":
    sys.exit(main())
