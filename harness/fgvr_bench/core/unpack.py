"""Unpacking of archives that nobody vouches for: files and folders alone, inside one folder, of bounded size."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import DataInvalid, FgvrError

MAX_BYTES = 64 * 1024**3
"""An archive that unpacks to more is refused."""
MAX_FILES = 2_000_000
MAX_EXPANSION = 200
"""An archive that unpacks to more than so many times its own size (beyond `FREE_BYTES`) is refused."""
FREE_BYTES = 256 * 1024**2


UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
"""What the readers of archives raise; the last two for ways of packing that they do not know, and for passwords."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_folder: bool
    is_file: bool
    size: int
    read: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, progress: Progress = quiet) -> list[str]:
    """Unpack a .tar, .tar.gz, .tgz or .zip into `folder` and return the names it put there.

    Everything is unpacked beside `folder` first and moved in as a whole, so an interruption leaves nothing
    half done.

    Raises:
        DataInvalid: no such archive, damaged, or with a member that is a link or a device, leads out of the
            folder, or is too large; nothing of it is kept.
        FgvrError: something of the same name is in the way; or no space.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as made:
        staging = Path(made)
        try:
            with progress(f"unpacking {archive.name}", None) as advance:
                _extract(archive, staging, advance)
        except UNREADABLE as error:
            raise DataInvalid(f"{archive} is damaged or no archive: {error}.", hint="Fetch it again.") from error
        except OSError as error:
            raise FgvrError(f"cannot unpack {archive} into {folder}: {error.strerror or error}.") from error
        names = sorted(os.listdir(staging))
        for name in names:
            if os.path.lexists(folder / name):
                raise FgvrError(
                    f"{folder / name} is in the way of what {archive.name} holds.", hint="Move it away, and try again."
                )
        for name in names:
            os.replace(staging / name, folder / name)
    return names


def _extract(archive: Path, staging: Path, advance: Callable[[int], None]) -> None:
    bound = min(MAX_BYTES, max(FREE_BYTES, MAX_EXPANSION * archive.stat().st_size))
    written = 0
    for count, member in enumerate(_members(archive), 1):
        target = _target(archive, member, staging)
        if count > MAX_FILES:
            raise DataInvalid(f"{archive} holds more than {MAX_FILES:,} files.")
        if member.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        written += member.size
        if written > bound:
            raise DataInvalid(f"{archive} unpacks to more than {bound:,} bytes.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.read() as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            if file.tell() != member.size:
                raise DataInvalid(f"{archive}: {member.name} has {file.tell():,} bytes instead of {member.size:,}.")
        advance(1)


def _target(archive: Path, member: _Member, staging: Path) -> Path:
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    if not (member.is_file or member.is_folder):
        raise DataInvalid(f"{archive} holds {member.name!r}, which is a link or a device.")
    if not parts and member.is_folder:  # "./"
        return staging
    if not parts or parts[0] == "/" or ".." in parts or "\0" in member.name or ":" in parts[0]:
        raise DataInvalid(f"{archive} holds {member.name!r}, which leads out of its folder.")
    return staging.joinpath(*parts)


def _members(archive: Path) -> Iterator[_Member]:
    return _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = kind in {0, stat.S_IFREG} and not info.is_dir()
            yield _Member(info.filename, info.is_dir(), plain, info.file_size, functools.partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as opened:
        for item in opened:
            yield _Member(item.name, item.isdir(), item.isreg(), item.size, functools.partial(_content, opened, item))


def _content(opened: tarfile.TarFile, item: tarfile.TarInfo) -> IO[bytes]:
    source = opened.extractfile(item)
    if source is None:
        raise tarfile.ReadError(f"{item.name!r} has no content")
    return source
