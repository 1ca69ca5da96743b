"""Downloads that go on where they were interrupted, are checked, and unpack nowhere but into their folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.files import read_json, write_json
from fgvr_bench.core.locks import lock
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.unpack import unpack
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.interfaces import DatasetCard, Download

ATTEMPTS = 4
"""Times that a broken connection is taken up again before the command gives up."""
PAUSE = 0.5
"""Seconds before a connection is taken up again; doubled each time."""
PIECE = 1 << 18
TIMEOUT = (20, 60)
"""Seconds to wait for a connection, and for more bytes on it."""
RECORD = "fetched.json"
RECORD_FORMAT = "fgvr-bench/fetched"
UNPACKED = 1.1
"""Bytes that an archive of JPEGs unpacks to, in archives."""


class Offline(FgvrError):
    """Something has to be downloaded and cannot be."""


def is_offline() -> bool:
    """Say whether the user wants no network (``FGVR_OFFLINE`` or ``HF_HUB_OFFLINE``)."""
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes"} for name in ("FGVR_OFFLINE", "HF_HUB_OFFLINE"))


def download(
    url: str,
    checksum: str | None,
    path: Path,
    *,
    size: int | None = None,
    progress: Progress = quiet,
    attempts: int = ATTEMPTS,
) -> str:
    """Download `url` to `path` unless it is there already, and return its SHA-256.

    An interrupted download goes on where it stopped, in this call or in a later one.

    Args:
        url: where it is.
        checksum: ``md5:...`` or ``sha256:...``; None takes what comes.
        path: the file.
        size: its length in bytes, for the progress bar.
        progress: told how far it is.
        attempts: times that a broken connection is taken up again.

    Raises:
        Offline: the network is off, or the server does not answer.
        DataInvalid: what came has another checksum; it is deleted.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    transfer = _Transfer(url, part, size, progress, attempts)
    try:
        pooch.retrieve(url, checksum, fname=path.name, path=path.parent, downloader=transfer)
    except ValueError as error:  # pooch's word for another checksum
        part.unlink(missing_ok=True)
        raise DataInvalid(
            f"what came from {url} is not what was published: {_checksum_of(error)}; it is deleted.",
            hint="Type the same command to download it again; if that fails too, the file has changed at its source.",
        ) from error
    except OSError as error:
        raise FgvrError(f"cannot write {path}: {error.strerror or error}.", hint="Free some space.") from error
    return hash_file(path)


def _checksum_of(error: ValueError) -> str:
    words = " ".join(str(error).split())
    start = words.find("hash of downloaded file")
    return words[start:].split(". ")[0] if start >= 0 else words


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Transfer:
    """What pooch calls to get the bytes: appends to a ``.part`` file that outlives an interruption."""

    def __init__(self, url: str, part: Path, size: int | None, progress: Progress, attempts: int) -> None:
        self.url, self.part, self.size, self.progress, self.attempts = url, part, size, progress, attempts

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        if is_offline():
            raise Offline(
                f"{os.path.basename(url)} has to be downloaded, but FGVR_OFFLINE or HF_HUB_OFFLINE is set.",
                hint="Unset it.",
            )
        with self.progress(f"downloading {os.path.basename(url)}", self.size) as advance:
            advance(self._held())
            self._all(advance)
        os.replace(self.part, output_file)

    def _held(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _all(self, advance: Callable[[int], None]) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        reason = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                self._some(advance)
                return
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                reason = f"the server answers {status}"
                if 400 <= status < 500 and status != 429:
                    break
            except (requests.RequestException, HTTPError, ConnectionError, TimeoutError) as error:
                reason = type(error).__name__
        held = self._held()
        kept = f"; {held:,} bytes are kept and the same command goes on from there" if held else ""
        raise Offline(f"{self.url} cannot be downloaded: {reason}{kept}.", hint="Check the network, and try again.")

    def _some(self, advance: Callable[[int], None]) -> None:
        """Get what is missing of the file, as far as the connection carries."""
        import requests

        held = self._held()
        headers = {"User-Agent": f"fgvr-bench/{__version__}", "Accept-Encoding": "identity"}
        if held:
            headers["Range"] = f"bytes={held}-"
        with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if held and answer.status_code in {200, 416}:  # it cannot go on there, or has no more there
                if answer.status_code == 416 and answer.headers.get("Content-Range") == f"bytes */{held}":
                    return
                advance(-held)
                held = 0
                self.part.unlink()
                if answer.status_code == 416:
                    raise requests.ConnectionError("the kept part is longer than the file")
            answer.raise_for_status()
            length = answer.headers.get("Content-Length")
            due = held + int(length) if length is not None else None
            answer.raw.enforce_content_length = False  # else the last piece before a break is lost
            with self.part.open("ab") as file:
                while piece := answer.raw.read(PIECE, decode_content=False):
                    file.write(piece)
                    advance(len(piece))
        if due is not None and self._held() < due:
            raise requests.ConnectionError(f"{self._held()} of {due} bytes came")


def fetch_dataset(card: DatasetCard, folder: Path, progress: Progress = quiet) -> list[str]:
    """Download and unpack a dataset into `folder`, and return a sentence for each thing done.

    What an earlier call has completed is not done again.

    Raises:
        FgvrError: a person has to fetch it; no space; or what `download` and `unpack` raise.
    """
    if not (card.downloads or card.by_hand):
        return [f"{card.name} needs no files; there is nothing to fetch."]
    if not card.downloads:
        what = f"{card.by_hand} {folder}"
        raise FgvrError(
            f"{card.name} cannot be downloaded by a program. {what}",
            hint=f"Then type: fgvr-bench datasets verify {card.name}",
        )
    said: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".fetch.lock", f"fetching {card.name}"):
        done = _read_record(folder)
        waiting = [item for item in card.downloads if item.url not in done]
        _check_space(card, folder, waiting)
        for item in waiting:
            sha256 = _fetch_one(item, folder, progress)
            done[item.url] = sha256
            write_json(folder / RECORD, {"format": RECORD_FORMAT, "version": 1, "downloads": done})
            how = "as published" if item.checksum else "nobody published a checksum to compare with"
            said.append(f"{os.path.basename(item.url)}: SHA-256 {sha256} ({how})")
        shutil.rmtree(folder / ".downloads", ignore_errors=True)
    return said or [f"{card.name} is complete in {folder}"]


def _read_record(folder: Path) -> dict[str, str]:
    with contextlib.suppress(FgvrError):
        return dict(read_json(folder / RECORD, RECORD_FORMAT, (1,))["downloads"])
    return {}


def _check_space(card: DatasetCard, folder: Path, waiting: list[Download]) -> None:
    held = sum(file.stat().st_size for file in (folder / ".downloads").glob("*") if file.is_file())
    largest = max((item.size for item in waiting), default=0)
    due = int(sum(item.size * UNPACKED for item in waiting) + largest) - held
    free = shutil.disk_usage(folder).free
    if due > free:
        raise FgvrError(
            f"{card.name} needs about {due / 1e9:.1f} GB in {folder}; {free / 1e9:.1f} GB are free.",
            hint="Free some space, or name another place with --data-root.",
        )


def _fetch_one(item: Download, folder: Path, progress: Progress) -> str:
    archive = folder / ".downloads" / os.path.basename(item.url)
    target = folder / item.into if item.into else folder
    sha256 = download(item.url, item.checksum, archive, size=item.size, progress=progress)
    target.mkdir(parents=True, exist_ok=True)
    if item.unpack:
        unpack(archive, target, progress)
        archive.unlink()
    else:
        os.replace(archive, target / archive.name)
    return sha256
