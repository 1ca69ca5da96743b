"""Where things lie: data, caches and results, each with an environment variable that moves it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def at_home(path: str | Path) -> Path:
    """Return a path with ``~`` put out in full; that of a user whom this machine does not know stays as it is."""
    return Path(os.path.expanduser(path))


def cache_folder() -> Path:
    """Return the folder for what can be made again (``FGVR_CACHE``)."""
    if given := os.environ.get("FGVR_CACHE"):
        return at_home(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("fgvr-bench"))


def fetched_data_folder() -> Path:
    """Return the folder that ``datasets fetch`` downloads to."""
    import platformdirs

    return Path(platformdirs.user_data_dir("fgvr-bench")) / "data"


def data_roots(given: Sequence[Path] = ()) -> list[Path]:
    """Return the folders to look for datasets in, best first: ``--data-root``, ``FGVR_DATA``, fetched data.

    ``FGVR_DATA`` may name several, separated as in ``PATH``.
    """
    if given:
        return [at_home(path) for path in given]
    named = [at_home(part) for part in os.environ.get("FGVR_DATA", "").split(os.pathsep) if part]
    return [*named, fetched_data_folder()]
