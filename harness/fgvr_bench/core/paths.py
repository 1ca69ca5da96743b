"""Where things lie: data, caches and results, each with an environment variable that moves it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for what can be made again (``FGVR_CACHE``)."""
    if given := os.environ.get("FGVR_CACHE"):
        return Path(given).expanduser()
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
        return [path.expanduser() for path in given]
    named = [Path(part).expanduser() for part in os.environ.get("FGVR_DATA", "").split(os.pathsep) if part]
    return [*named, fetched_data_folder()]
