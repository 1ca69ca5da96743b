"""The store of option sets: finds the set that was made from exactly these inputs, or mines it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.digest import dataset_digest as digest_of
from fgvr_bench.core.files import digest
from fgvr_bench.core.host import Host, host
from fgvr_bench.core.locks import lock
from fgvr_bench.core.names import slug
from fgvr_bench.core.option_files import OptionSet, iter_options, read_header, write_options
from fgvr_bench.core.paths import at_home, cache_folder
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.versions import library_versions
from fgvr_bench.errors import DataInvalid, FgvrError, ModelUnavailable, OptionsInvalid, UsageError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.types import LETTERS, Example, Options

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset, OptionMiner

__all__ = ["OptionSet", "find_or_build", "iter_options", "options_folder", "read_header", "resolve", "write_options"]


class NotMined(FgvrError):
    """The option set would have to be mined first."""


INPUTS = ("dataset", "split", "dataset_digest", "miner", "k", "seed", "labels", "miner_inputs")
"""The fields of a header that decide what the rows are; versions of libraries stand beside them."""


def options_folder(dataset_name: str) -> Path:
    """Return the folder in which the option sets of a dataset are kept."""
    return cache_folder() / "options" / slug(dataset_name)


def resolve(
    dataset: Dataset,
    split: str,
    spec: str | None = None,
    settings: MiningSettings | None = None,
    *,
    dataset_digest: str | None = None,
    folder: Path | None = None,
    progress: Progress = quiet,
    seed: int = 0,
    build: bool = True,
    plugins: Host | None = None,
) -> OptionSet:
    """Return the option set that `spec` names, made to fit the split or refused.

    Args:
        dataset: an opened dataset.
        split: its split.
        spec: path of an option set, name of a miner, ``published``, or None for the dataset's default.
        settings: for a miner; None takes the defaults and `seed`.
        dataset_digest: the split's digest where the caller has it; otherwise it is computed.
        folder: the store, by default `options_folder`.
        progress: told what is being done.
        seed: for miners that draw; without meaning beside `settings`.
        build: False refuses to mine a set that is not there.
        plugins: whose miners there are; by default those of all installed plugins.

    Raises:
        NotMined: `build` is False, and the set is not there.
        UnknownName: neither a file nor a miner.
        OptionsInvalid: a damaged file, or one made from other inputs; says which.
    """
    spec = spec or dataset.card.options
    miners = (plugins or host()).miners
    if spec in miners:
        return find_or_build(
            dataset,
            split,
            spec,
            settings or MiningSettings(seed=seed),
            folder=folder,
            dataset_digest=dataset_digest,
            progress=progress,
            build=build,
            plugins=plugins,
        )
    if spec == "published":
        from fgvr_bench.core.published import published_set

        path = published_set(dataset, split, progress)
    else:
        path = at_home(spec)
        if not path.exists():
            if path.suffix or os.sep in spec:
                raise OptionsInvalid(
                    f"option set {spec} does not exist.",
                    hint=f"Make it with: fgvr-bench options build --dataset {dataset.card.name} --out {spec}",
                )
            miners.find(spec)
    loaded = OptionSet.load(path)
    if loaded.header.get("dataset_digest") and dataset_digest is None:
        dataset_digest = digest_of(dataset, split, progress)
    loaded.check(dataset, split, dataset_digest)
    return loaded


def find_or_build(
    dataset: Dataset,
    split: str,
    miner_name: str,
    settings: MiningSettings | None = None,
    *,
    folder: Path | None = None,
    dataset_digest: str | None = None,
    progress: Progress = quiet,
    build: bool = True,
    plugins: Host | None = None,
) -> OptionSet:
    """Return the stored set whose inputs are these, or mine it; two processes mine it once.

    Raises:
        NotMined: `build` is False, and the set is not there.
        UnknownName: no such miner.
        UsageError: k out of range, or a setting that the miner does not have.
        DataInvalid: fewer than two labels, or no examples.
    """
    miner = (plugins or host()).miners[miner_name]
    settings = settings or MiningSettings()
    _check_request(dataset, split, settings)
    settings = replace(settings, dataset_digest=dataset_digest or digest_of(dataset, split, progress))
    with _without_its_model(dataset, miner):
        header = _header(dataset, split, miner, settings)
    name = f"{slug(split)}-{slug(miner.name)}-k{settings.k}-{digest(_inputs(header))[:12]}.jsonl"
    path = (folder or options_folder(dataset.card.name)) / name
    if (stored := _stored(path, header)) is not None:
        return stored
    if not build:
        raise NotMined(
            f"the options of {dataset.card.name} {split} are not mined yet.",
            hint=f"Type: fgvr-bench options build --dataset {dataset.card.name} --miner {miner.name}",
        )
    with lock(path.with_suffix(".lock"), f"mining options of {dataset.card.name} {split}"):
        if (stored := _stored(path, header)) is not None:  # another process made it while this one waited
            return stored
        examples = dataset.examples(split)
        what = f"mining {dataset.card.name} {split}"
        with _without_its_model(dataset, miner), progress(what, len(examples)) as advance:
            mined = miner.mine(dataset, examples, settings, advance)
            return write_options(path, header, _checked(mined, examples, miner.name))


@contextlib.contextmanager
def _without_its_model(dataset: Dataset, miner: OptionMiner) -> Iterator[None]:
    """Say of a model that is not there what it is wanted for, and what goes without it."""
    try:
        yield
    except ModelUnavailable as error:
        raise ModelUnavailable(
            f"{error.message} Miner {miner.name} chooses the options of {dataset.card.name} with it.",
            hint="Take options that need no model (--options random), type the command again with a network, or mine "
            f"with a folder: fgvr-bench options build --dataset {dataset.card.name} --miner-arg model=FOLDER",
        ) from error


def _check_request(dataset: Dataset, split: str, settings: MiningSettings) -> None:
    if not 2 <= settings.k <= len(LETTERS):
        raise UsageError(f"a question has 2 to {len(LETTERS)} choices, not {settings.k}.", hint="Give another --k.")
    labels = dataset.labels()
    if len(labels) < 2:
        raise DataInvalid(f"{dataset.card.name} has {len(labels)} labels; a question needs two.")
    if len(set(labels)) != len(labels):
        twice = sorted(label for label in set(labels) if list(labels).count(label) > 1)
        raise DataInvalid(f"{dataset.card.name} lists {twice[0]!r} twice among its labels.")
    if not len(dataset.examples(split)):
        raise DataInvalid(f"{dataset.card.name} has no examples in split {split}.")


def _header(dataset: Dataset, split: str, miner: OptionMiner, settings: MiningSettings) -> dict[str, Any]:
    return {
        "dataset": dataset.card.name,
        "split": split,
        "dataset_digest": settings.dataset_digest,
        "miner": miner.name,
        "k": settings.k,
        "seed": settings.seed if miner.seeded else None,
        "labels": list(dataset.labels()),
        "miner_inputs": dict(miner.identify(dataset, settings)),
        "versions": library_versions(),
    }


def _inputs(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: header.get(name) for name in INPUTS}


def _stored(path: Path, header: Mapping[str, Any]) -> OptionSet | None:
    """Return the set at `path` if it is whole and made from these inputs; what is not is mined again."""
    if not path.exists():
        return None
    try:
        stored = OptionSet.load(path)
    except FgvrError:
        return None
    return stored if _inputs(stored.header) == _inputs(header) else None


def _checked(mined: Iterator[Options], examples: Sequence[Example], miner: str) -> Generator[Options, None, Any]:
    """Pass on what a miner yields, one row an example; return what it returns."""
    count = 0
    while True:
        try:
            row = next(mined)
        except StopIteration as stop:
            if count != len(examples):
                raise OptionsInvalid(f"miner {miner} gave options for {count} of {len(examples)} examples.") from None
            return stop.value
        expected = examples[count] if count < len(examples) else None
        if expected is None or row.example_id != expected.example_id or row.truth != expected.label:
            wanted = f"{expected.example_id} with {expected.label!r} first" if expected else "no more"
            raise OptionsInvalid(f"miner {miner} gave {row.example_id} ({row.truth!r}) where {wanted} was due.")
        count += 1
        yield row
