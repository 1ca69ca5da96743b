"""Tables of the datasets library, from the hub or from this machine, each failure in a sentence."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.fetch import is_offline
from fgvr_bench.core.paths import at_home
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError, ModelUnavailable, UsageError

KINDS = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow"}
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A dataset's tables."""

    tables: Mapping[str, Any]
    """`datasets.Dataset` of each split, under the name that it goes by there."""
    folder: Path | None
    """Where it lies on this machine; None for one of the hub."""
    commit: str | None = None
    """The hub's commit, where it is known."""


def is_local(place: str) -> bool:
    """Say whether a name means a file or a folder: one that is there, or what could be nothing else."""
    path = Path(place)
    return at_home(place).exists() or place.count("/") > 1 or place[:1] in "./~\\" or path.suffix in KINDS


def load(place: str, config: str | None, revision: str | None) -> Loaded:
    """Load a folder, a file or a dataset of the hub, which is downloaded once.

    Raises:
        UsageError: there is no such configuration, or several to choose from.
        DataNotFound: it is not there, or cannot be reached.
        DataInvalid: the library cannot read it.
    """
    try:
        import datasets  # noqa: F401 - said here once, for all that follows
    except ImportError as error:
        raise UsageError(
            "hf: datasets are read with the datasets library, which is not installed.",
            hint="Type: pip install 'fgvr-bench[datasets]'",
        ) from error
    with _quiet(), _in_words(place):
        if not is_local(place):
            return _of_the_hub(place, config, revision)
        if revision is not None:
            raise UsageError(f"{place} lies here, and has no revisions; revision= is for datasets of the hub.")
        return _local(at_home(place), config)


def _local(path: Path, config: str | None) -> Loaded:
    from datasets import DatasetDict, load_dataset, load_from_disk

    path = Path(os.path.abspath(path))
    if not path.exists():
        raise DataNotFound(
            f"there is no file or folder {path}.", hint="For a dataset of the hub type hf:ORGANISATION/NAME."
        )
    saved = any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))
    if config is not None and (saved or path.is_file()):
        raise UsageError(f"{path} holds one dataset; config= is for folders as the hub has them.")
    if path.is_dir():
        if not saved and glob.escape(str(path)) != str(path):
            raise DataInvalid(
                f"{path} has * ? or [ in its name, which the datasets library takes for patterns.",
                hint="Rename the folder, or name a Parquet file in it.",
            )
        found = load_from_disk(str(path)) if saved else load_dataset(str(path), config)
        tables = (
            dict(found) if isinstance(found, DatasetDict) else {str(found.split or "test").partition("[")[0]: found}
        )
        if saved:
            _check_files(tables, path)
        return Loaded(tables, path)
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path} is no file that hf: reads.",
            hint=f"It takes a folder, or a file that ends with {', '.join(KINDS)}; csv: takes tables of paths.",
        )
    tables = load_dataset(kind, data_files={"test": glob.escape(str(path))})
    return Loaded(dict(tables), path.parent)


def _check_files(tables: Mapping[str, Any], folder: Path) -> None:
    """Refuse a saved dataset whose list of files leads out of its folder."""
    for table in tables.values():
        for file in table.cache_files:
            if not Path(file["filename"]).resolve().is_relative_to(folder.resolve()):
                raise DataInvalid(f"{folder} names the file {file['filename']}, which does not lie in it.")


def _of_the_hub(name: str, config: str | None, revision: str | None) -> Loaded:
    from datasets import load_dataset

    wanted = _commit(name, revision)
    with _cache_alone() if wanted is None else contextlib.nullcontext():
        tables = dict(load_dataset(name, config, revision=wanted or revision))
    files = [Path(file["filename"]) for table in tables.values() for file in table.cache_files]
    commit = next((file.parent.name for file in files if COMMIT.fullmatch(file.parent.name)), None)
    if revision is not None and COMMIT.fullmatch(revision) and commit not in (revision, None):
        raise DataNotFound(f"{name} is in the cache at commit {commit}, not {revision}, and the hub cannot be reached.")
    return Loaded(tables, None, commit)


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit that the hub has under a name; None where it cannot be reached, or is not to be.

    The library by itself would try again for half a minute before it looked into its cache.
    """
    from fgvr_bench.engines.checkpoints import hub_info

    if is_offline():
        return None
    try:
        return str(hub_info(name, revision, "dataset").sha)
    except ConnectionError:
        return None


@contextlib.contextmanager
def _cache_alone() -> Iterator[None]:
    """Let the library look into its cache only."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the library logs off the screen, and its bars where nobody looks on."""
    import datasets

    verbosity, barred = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not barred:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _in_words(place: str) -> Iterator[None]:
    """Turn what the library raises into errors of ours."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except ModelUnavailable as error:
        raise DataNotFound(error.message, hint=error.hint) from error
    except FgvrError:
        raise
    except ConnectionError as error:
        raise DataNotFound(
            f"{place} is not in the cache, and the hub {'is not to' if is_offline() else 'cannot'} be reached.",
            hint="With a network, the same command downloads it; or save it where there is one, and name its folder.",
        ) from error
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise DataNotFound(f"{place}: {_first_line(error)}.") from error
    except ValueError as error:
        said = _first_line(error)
        if "onfig" in said:
            raise UsageError(f"{place}: {_whole(error)}.", hint="Name one: #config=...") from error
        raise DataInvalid(f"{place} cannot be read: {said}.") from error
    except Exception as error:
        cause = error.__cause__ or error
        raise DataInvalid(f"{place} cannot be read: {type(cause).__name__}: {_first_line(cause)}.") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _whole(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
