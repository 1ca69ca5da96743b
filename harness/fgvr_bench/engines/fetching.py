"""A checkpoint's files, brought to this machine and checked to be whole."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from fgvr_bench.core.files import parse_json
from fgvr_bench.engines.checkpoints import Checkpoint, hub_commit, hub_info, not_cached
from fgvr_bench.errors import ModelUnavailable

SIDE_FILES = ("*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py")
"""What belongs to a checkpoint beside its weights."""

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def fetch(checkpoint: Checkpoint, weights: bool = True, adapter: str | None = None) -> Path:
    """Return the folder with a checkpoint's files, downloading what is missing.

    Args:
        checkpoint: a local folder, or a hub name with its revision.
        weights: whether weights are wanted (a processor is taken without).
        adapter: a folder in the checkpoint that holds an adapter, which is wanted too.

    Raises:
        ModelUnavailable: incomplete, unknown to the hub, or not to be had for want of a network.
    """
    if checkpoint.folder is not None:
        problem = what_is_missing(checkpoint.folder, weights, adapter)
        if problem:
            raise ModelUnavailable(f"checkpoint folder {checkpoint.name} {problem}.", hint=_how_to_complete(problem))
        return checkpoint.folder
    commit = hub_commit(checkpoint.name, checkpoint.revision)
    cached = _cached_folder(checkpoint.name, commit)
    if cached is not None and what_is_missing(cached, weights, adapter) is None:
        return cached
    folder = _download(checkpoint.name, commit, weights, adapter)
    if problem := what_is_missing(folder, weights, adapter):
        raise ModelUnavailable(f"{checkpoint.name} on the hub {problem}.", hint=_how_to_complete(problem))
    return folder


def what_is_missing(folder: Path, weights: bool = True, adapter: str | None = None) -> str | None:
    """Say what keeps a folder from being a checkpoint, or return None.

    ``"has no config.json"``, ``"has no weights (model.safetensors)"``, ``"lacks model-00002-of-00004.safetensors"``
    """
    if weights and not (folder / "config.json").is_file():
        return "has no config.json"
    if adapter is not None and not all((folder / adapter / name).is_file() for name in ADAPTER_FILES):
        return f"has no adapter {adapter} ({' and '.join(ADAPTER_FILES)})"
    if not weights:
        named = [*PROCESSOR_FILES, "tokenizer_config.json"]
        return None if any((folder / name).is_file() for name in named) else "has no processor"
    for index in INDEX_FILES:
        if (folder / index).is_file():
            shards = sorted(set(_weight_map(folder / index).values()))
            absent = [shard for shard in shards if not (folder / shard).is_file()]
            return f"lacks {', '.join(absent[:3])}{' and more' if len(absent) > 3 else ''}" if absent else None
    if any((folder / name).is_file() for name in WEIGHT_FILES):
        return None
    return "has no weights (model.safetensors)"


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = parse_json(index.read_bytes())["weight_map"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{index} is no weight index: {error}.") from error


def _how_to_complete(problem: str) -> str:
    if "processor" in problem:
        return "Name one with --model-arg processor=ORGANISATION/NAME (or a folder)."
    return "Give the folder that save_pretrained wrote, or a hub name (--checkpoint ORGANISATION/NAME)."


def _cached_folder(name: str, commit: str) -> Path | None:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots" / commit
    return folder if folder.is_dir() else None


def _download(name: str, commit: str, weights: bool, adapter: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        files = [str(file.rfilename) for file in hub_info(name, commit).siblings or ()]
        patterns = [*SIDE_FILES, *(_weight_patterns(files) if weights else ())]
        wanted = [file for file in files if "/" not in file and any(fnmatch(file, pattern) for pattern in patterns)]
        if adapter is not None:
            wanted += [f"{adapter}/{file}" for file in ADAPTER_FILES]
        with progress_on_terminals():
            return Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    except (HfHubHTTPError, OSError) as error:
        raise not_cached(name) from error


def _weight_patterns(files: list[str]) -> tuple[str, ...]:
    """Return the patterns of the weights to take: safetensors where there are any, else what torch saved."""
    if any(file.endswith(".safetensors") and "/" not in file for file in files):
        return ("model*.safetensors",)
    return ("pytorch_model*.bin",)


@contextlib.contextmanager
def progress_on_terminals() -> Iterator[None]:
    """Let the hub draw its progress bars only where standard error is a terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
