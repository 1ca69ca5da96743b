"""A pull request that adds results: taking its files as data, and telling what was found in a comment.

    python scripts/results_pull_request.py receive SUBMITTED INTO
    python scripts/results_pull_request.py comment ARCHIVE CONCLUSION URL > body.json

Run by ``.github/workflows/leaderboard.yml`` and ``leaderboard-comment.yml`` from the base branch.  Nothing of what it
reads is believed or executed.  It needs Python alone, so that the job that may write comments installs nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEBI = 1 << 20
NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,120}"
LIMITS = {
    f"{NAME}/{NAME}/[0-9a-f]{{12}}/run\\.json": 2 * MEBI,
    f"{NAME}/{NAME}/[0-9a-f]{{12}}/responses\\.jsonl": 128 * MEBI,
    f"reported/{NAME}\\.jsonl": 2 * MEBI,
    "LEADERBOARD\\.md": 2 * MEBI,
}
"""Files that are taken, by their paths below the results folder, and how large each may be."""
MOST_FILES, MOST_BYTES = 20_000, 2048 * MEBI

PARTS = (("verify.txt", "Runs", ""), ("board.diff", "What the board would change", "diff"))
"""What the comment shows of the archive: file, heading, language of the block."""
MOST_CHARACTERS = 25_000
"""Of each; GitHub takes 65,536 in all."""
MARKER = "<!-- leaderboard -->"


class Refused(Exception):
    """What was submitted is not taken; says why."""


def receive(submitted: Path, into: Path) -> list[str]:
    """Copy the files of runs from `submitted` to the new folder `into`; return the paths that were left out.

    Raises:
        Refused: there are links, too many files, or too large ones.
    """
    left_out: list[str] = []
    files = total = 0
    for path in _walk(submitted):
        name = PurePosixPath(path.relative_to(submitted)).as_posix()
        most = next((most for pattern, most in LIMITS.items() if re.fullmatch(pattern, name)), None)
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{name!r} is no regular file.")
        if most is None:
            left_out.append(name)
            continue
        files, total = files + 1, total + status.st_size
        if status.st_size > most:
            raise Refused(f"{name} has {status.st_size:,} bytes; {most:,} are taken.")
        if files > MOST_FILES or total > MOST_BYTES:
            raise Refused(f"more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes.")
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into / name, follow_symlinks=False)
    return left_out


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all that is no folder below `folder`, links included and never followed."""
    if folder.is_symlink() or not folder.is_dir():
        raise Refused(f"{folder} is no folder.")
    for where, folders, files in os.walk(folder, followlinks=False):
        links = [name for name in folders if Path(where, name).is_symlink()]
        yield from (Path(where, name) for name in sorted([*files, *links]))


def comment(archive: Path, conclusion: str, url: str) -> str:
    """Return the comment on a pull request, in Markdown, from the archive that its job left behind.

    The job ran on what a stranger submitted: what is shown is text in a block that it cannot close.
    """
    passed = "The runs are what they claim to be." if conclusion == "success" else f"The check ended with {conclusion}."
    said = [MARKER, f"**Leaderboard.** {passed} [Log]({url})"]
    for name, heading, language in PARTS:
        text = _text(archive, name)
        if text.strip():
            ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            said += [
                "",
                f"<details><summary>{heading}</summary>",
                "",
                f"{ticks}{language}",
                text,
                ticks,
                "",
                "</details>",
            ]
    return "\n".join(said) + "\n\nDigests find damage, not fraud.\n"


def _text(archive: Path, name: str) -> str:
    """Return the beginning of one file of the archive as harmless text; empty where it cannot be had."""
    try:
        with zipfile.ZipFile(archive) as packed, packed.open(name) as file:
            raw = file.read(4 * MOST_CHARACTERS + 1)
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
        return ""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n").expandtabs()
    text = "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
    text = re.sub("`{10,}", "`" * 9, text)  # the block's own fence has to be longer
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}\n... (cut; the log has all)"
    return text.rstrip("\n")


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit status."""
    match arguments:
        case ["receive", submitted, into]:
            try:
                left_out = receive(Path(submitted), Path(into))
            except (Refused, OSError) as error:
                print(f"Refused: {error}".encode("ascii", "backslashreplace").decode())
                return 1
            for name in left_out:
                print(f"left out: {name!a}")
            return 0
        case ["comment", archive, conclusion, url]:
            print(json.dumps({"body": comment(Path(archive), conclusion, url)}))
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
