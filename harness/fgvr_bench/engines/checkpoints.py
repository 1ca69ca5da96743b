"""Where a checkpoint's files are, and what identifies them: a hub commit, or the digest of a local folder.

Nothing here imports torch, and huggingface_hub only where the hub is asked.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json, parse_json, write_text
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import at_home, cache_folder
from fgvr_bench.errors import FgvrError, ModelUnavailable, UsageError

MEANINGFUL = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py", "*.safetensors", "*model*.bin", "*.pth")
"""Files of a checkpoint that can change an answer."""

HUB_SECONDS = 10.0
"""How long the hub may take to say which commit a name stands for."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as it was asked for."""

    name: str
    """A hub name ``organisation/name``, or the path of a folder as given."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None for the newest."""
    folder: Path | None = None
    """The local folder, where `name` is one."""


def find_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Tell a local folder from a hub name.

    Raises:
        ModelUnavailable: a path to nothing.
        UsageError: neither a folder nor a possible hub name, or a revision of a folder.
    """
    folder = at_home(name)
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"{name} is a local folder and has no revisions.", hint="Leave --revision out.")
        return Checkpoint(name, None, folder)
    if folder.exists():
        raise ModelUnavailable(f"{name} is a file, not a checkpoint folder.", hint=f"Give --checkpoint {folder.parent}")
    if name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1:
        raise ModelUnavailable(f"there is no checkpoint folder {name}.", hint="Check the path after --checkpoint.")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise UsageError(f"{name!r} is neither a folder nor a hub name.", hint="A hub name is organisation/name.")
    return Checkpoint(name, revision)


def checkpoint_identity(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what tells a checkpoint from every other: name and commit, or a folder's digest.

    The path of a folder is no part of it: a moved checkpoint answers the same.

    Raises:
        ModelUnavailable: the hub knows no such name, or cannot be asked and the cache does not hold it.
    """
    if checkpoint.folder is not None:
        return {"checkpoint": "local", "sha256": folder_digest(checkpoint.folder)}
    return {"checkpoint": checkpoint.name, "revision": hub_commit(checkpoint.name, checkpoint.revision)}


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of a folder's meaningful files (`MEANINGFUL`, top level)."""
    return files_digest(sorted({path for pattern in MEANINGFUL for path in folder.glob(pattern) if path.is_file()}))


def files_digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 over names and contents of files; big files are read in parallel, and once."""
    from concurrent.futures import ThreadPoolExecutor

    listed = list(paths)
    with ThreadPoolExecutor(max_workers=4) as pool:
        rows = sorted(zip((path.name for path in listed), pool.map(file_digest, listed), strict=True))
    return hashlib.sha256(canonical_json(rows).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's SHA-256, from the cache where path, size and modification time are known.

    Raises:
        ModelUnavailable: it cannot be read.
    """
    try:
        status = path.stat()
        key = [str(path.resolve()), status.st_size, status.st_mtime_ns]
        kept = cache_folder() / "digests" / f"{hashlib.sha256(canonical_json(key).encode()).hexdigest()[:32]}.json"
        if (found := _kept_digest(kept, key)) is not None:
            return found
        with path.open("rb") as file:
            computed = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}.") from error
    if status.st_size > 1 << 20:  # smaller ones are read as fast as their cache entry
        try:
            write_text(kept, canonical_json({"key": key, "sha256": computed}))
        except FgvrError:
            return computed  # a cache that cannot be written costs time, nothing else
    return computed


def _kept_digest(kept: Path, key: list[Any]) -> str | None:
    try:
        entry = parse_json(kept.read_bytes())
        return str(entry["sha256"]) if entry["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=256)
def hub_commit(name: str, revision: str | None) -> str:
    """Return the commit that a hub name stands for; the hub is asked first, then its local cache.

    Asked once a process, so that what is identified is what is loaded.

    Raises:
        ModelUnavailable: the hub knows no such name or revision, or neither hub nor cache can tell.
    """
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    kept = cache_folder() / "hub" / slug(f"{name}@{revision or 'main'}")
    try:
        commit = str(hub_info(name, revision).sha)
    except ConnectionError as error:
        known = _hub_cache_commit(name, revision or "main") or _first_word(kept)
        if known is None:
            raise not_cached(name, revision) from error
        return known
    with contextlib.suppress(FgvrError):  # then the name cannot be resolved without a network, nothing else
        write_text(kept, commit)
    return commit


def hub_info(name: str, revision: str | None, kind: str = "model") -> Any:
    """Ask the hub about a repository; `kind` is ``model`` or ``dataset``.

    Raises:
        ConnectionError: it cannot be reached, or is not to be (``HF_HUB_OFFLINE``).
        ModelUnavailable: it knows no such name or revision, or wants a login.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=HUB_SECONDS)
    except GatedRepoError as error:
        raise ModelUnavailable(
            f"{name} is given only to those who accept its licence.",
            hint=f"Accept it at https://huggingface.co/{'' if kind == 'model' else f'{kind}s/'}{name}, "
            "then type: hf auth login",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelUnavailable(f"{name} has no revision {revision!r} on the hub.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelUnavailable(
            f"the hub has no {kind} {name} (or it is private).",
            hint="Check the name, or give " + ("--checkpoint FOLDER." if kind == "model" else "a folder of your own."),
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ConnectionError(str(error)) from error
    except Exception as error:
        # The hub's client changes its HTTP library from time to time, and with it the class of a failed connection.
        if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "requests", "urllib3"}:
            raise ConnectionError(str(error)) from error
        raise


@contextlib.contextmanager
def reached_or_cached(name: str) -> Iterator[None]:
    """Let the block take a repository's files from the cache alone where the hub cannot be reached.

    The hub's own client would try again for a minute, file by file, before it looked there.

    Raises:
        ModelUnavailable: the hub knows no such name, or wants a login.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        hub_info(name, None)
    except ConnectionError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_cache_commit(name: str, revision: str) -> str | None:
    """Return the commit that the hub's local cache knows for a branch or tag."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return _first_word(Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / revision)


def _first_word(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except OSError:
        return None


def not_cached(name: str, revision: str | None = None) -> ModelUnavailable:
    """Return the error of a checkpoint that is neither in the cache nor to be had from the hub."""
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE", "0") not in {"", "0"} else ""
    wanted = name if revision is None else f"{name} --revision {revision}"
    return ModelUnavailable(
        f"{name} is not in the cache and the hub cannot be reached{offline}.",
        hint=f"With a network, type: hf download {wanted}; or give --checkpoint FOLDER.",
    )
