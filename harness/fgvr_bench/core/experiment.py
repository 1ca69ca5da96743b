"""A whole experiment in one file: ``fgvr-bench run --config FILE``.

Its keys are the options of ``fgvr-bench run``, spelt as they are typed, without dashes in front.  A model or a dataset
is a name, or a table of its name and settings of its own.  Paths that are not absolute start from the file.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fgvr_bench.core.config_files import Config, Keys, read_config
from fgvr_bench.core.host import Host
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.registry import Registry
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import UsageError

FIELDS = {"data-root": "data_roots", "model-arg": "model_args"}
"""Fields of `RunSettings` that are not called as their option."""


def option_of(field_name: str) -> str:
    """Return how the option of a field of `RunSettings` is typed, without dashes in front.

    >>> option_of("batch_size"), option_of("model_args")
    ('batch-size', 'model-arg')
    """
    return next((key for key, name in FIELDS.items() if name == field_name), field_name.replace("_", "-"))


OF_A_MODEL = (
    "checkpoint",
    "revision",
    "device",
    "dtype",
    "trust-remote-code",
    "model-arg",
    "decoding",
    "full-text",
    "max-new-tokens",
    "batch-size",
    "workers",
    "num-processes",
)
"""What a model may set for itself."""
OF_A_DATASET = ("split", "subset", "options", "field-guide", "permutations", "limit", "data-root")
"""What a dataset may set for itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A model or a dataset that is asked for, with settings of its own."""

    name: str
    own: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `RunSettings`, and their values for this one."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a file describes."""

    path: Path
    models: tuple[Asked, ...]
    datasets: tuple[Asked, ...]
    settings: Mapping[str, Any]
    """Fields of `RunSettings` that the file sets for all."""


def read_experiment(path: Path, plugins: Host) -> Experiment:
    """Read and check a file.

    Raises:
        UsageError: a key that does not exist, or a value that it cannot have; names file, line and key.
    """
    config = read_config(path)
    read = _Reader(config, plugins)
    common = {name: value for name, value in config.values.items() if _key(name) not in {"model", "dataset"}}
    return Experiment(
        path,
        tuple(read.things("model", OF_A_MODEL, plugins.models)),
        tuple(read.things("dataset", OF_A_DATASET, plugins.datasets)),
        read.settings(common, (), tuple(_VALUES), ("model", "dataset")),
    )


def combine(
    experiment: Experiment, models: Sequence[str], datasets: Sequence[str], given: Mapping[str, Any]
) -> tuple[list[Asked], list[Asked], RunSettings]:
    """Let what was given beside the file take the place of what it says.

    A model or dataset that is named beside the file keeps the settings that the file has for it.

    Args:
        experiment: the file.
        models: names; none takes the file's.
        datasets: likewise.
        given: fields of `RunSettings`; they go before the file's, those of single models and datasets included.
    """

    def chosen(names: Sequence[str], asked: Sequence[Asked]) -> list[Asked]:
        picked = [each for name in names for each in ([a for a in asked if a.name == name] or [Asked(name)])]
        kept = picked if names else asked
        return [Asked(a.name, {key: value for key, value in a.own.items() if key not in given}) for a in kept]

    settings = RunSettings(**{**experiment.settings, **given})
    return chosen(models, experiment.models), chosen(datasets, experiment.datasets), settings


# --- values -----------------------------------------------------------------------------------------


class _Odd(Exception):
    """A value that its key cannot have; the message says what it has to be."""


def _whole(least: int | None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or (least is not None and value < least):
            raise _Odd("a whole number" + ("" if least is None else f" of at least {least}"))
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _Odd("a text" + (" (put it into quotation marks)" if isinstance(value, bool | int | float) else ""))
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Odd("true or false")
    return value


def _auto_or_whole(value: Any) -> int | str | None:
    if value == "auto":
        return "auto"
    try:
        return _whole(1)(value)
    except _Odd:
        raise _Odd('"auto" or a whole number of at least 1') from None


def _batch_size(value: Any) -> int | str | None:
    return None if value == "auto" else _auto_or_whole(value)


def _permutations(value: Any) -> str:
    if value in ("cyclic", "all") or (type(value) is int and value >= 1):
        return str(value)
    raise _Odd('"cyclic", "all" or a whole number of at least 1')


def _guide(value: Any) -> str:
    return "dataset" if value is True else _text(value)


def _pairs(value: Any) -> dict[str, str]:
    """Return settings of a model's own as they are typed: numbers as text, true and false as yes and no."""
    if not isinstance(value, dict) or not all(isinstance(each, str | int | float) for each in value.values()):
        raise _Odd("a table of names and single values")
    return {str(key): {True: "yes", False: "no"}[v] if isinstance(v, bool) else str(v) for key, v in value.items()}


def _texts(value: Any) -> tuple[str, ...]:
    try:
        return tuple(map(_text, [value] if isinstance(value, str) else list(value)))
    except (_Odd, TypeError):
        raise _Odd("a text or a list of texts") from None


_VALUES: dict[str, Callable[[Any], Any]] = {
    "split": _text,
    "subset": _text,
    "protocol": _text,
    "task": _text,
    "options": _text,
    "limit": _whole(1),
    "permutations": _permutations,
    "blank-images": _flag,
    "field-guide": _guide,
    "seed": _whole(None),
    "decoding": _text,
    "full-text": _flag,
    "max-new-tokens": _whole(1),
    "checkpoint": _text,
    "revision": _text,
    "device": _text,
    "dtype": _text,
    "model-arg": _pairs,
    "trust-remote-code": _flag,
    "batch-size": _batch_size,
    "workers": _whole(0),
    "num-processes": _auto_or_whole,
    "data-root": _texts,
    "results-dir": _text,
    "fresh": _flag,
    "resume-across": _flag,
}
"""What each key may hold; it returns what `RunSettings` takes."""

_TYPED = {
    "dry-run": "It is said on the command line: fgvr-bench run --config FILE --dry-run",
    "shard": "It is said on the command line: fgvr-bench run --config FILE --shard I/N",
    "config": "",
}
"""Options of the command that are none of an experiment's."""


class _Reader:
    """Reads the tables of one file."""

    def __init__(self, config: Config, plugins: Host) -> None:
        self._config = config
        self._plugins = plugins
        self._folder = os.path.dirname(config.path)

    def things(self, key: str, own: Sequence[str], registry: Registry[Any]) -> Iterable[Asked]:
        """Yield the models or datasets: names, or tables with one."""
        name, value = next(((n, v) for n, v in self._config.values.items() if _key(n) == key), (key, []))
        listed = value if isinstance(value, list) else [value]
        for place, item in enumerate(listed):
            keys: Keys = (name, place) if isinstance(value, list) else (name,)
            if isinstance(item, str) and item.strip():
                yield Asked(self._named(item.strip(), registry))
                continue
            if not isinstance(item, dict):
                raise self._wrong(keys, f"{name} is {_short(item)}; it has to be a name, or a table with one.")
            called = item.get("name")
            if not isinstance(called, str) or not called.strip():
                raise self._wrong(keys, f'a {key} has no name. Write: name = "..."')
            rest = {each: v for each, v in item.items() if each != "name"}
            yield Asked(self._named(called.strip(), registry), self.settings(rest, keys, own, ("name",), f"a {key}"))

    def settings(
        self, values: Mapping[Any, Any], keys: Keys, known: Sequence[str], others: Sequence[str], of: str = ""
    ) -> dict[str, Any]:
        """Return fields of `RunSettings` for a table."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            key = _key(name)
            here = (*keys, str(name))
            if key not in known:
                raise self._wrong(here, _unknown(key, known, others, of))
            field_name = FIELDS.get(key, key.replace("-", "_"))
            if field_name in found:
                raise self._wrong(here, f"{key} is given twice.")
            try:
                found[field_name] = self._placed(key, _VALUES[key](value))
            except _Odd as odd:
                raise self._wrong(here, f"{name} is {_short(value)}; it has to be {odd}.") from None
        return found

    def _wrong(self, keys: Keys, what: str) -> UsageError:
        return UsageError(f"{self._config.where(*keys)}: {what}")

    def _placed(self, key: str, value: Any) -> Any:
        """Let paths start from the file."""
        if key == "results-dir":
            return Path(self._beside(value))
        if key == "data-root":
            return tuple(Path(self._beside(each)) for each in value)
        if key in {"options", "subset", "field-guide", "checkpoint"} and self._is_path(value, key != "checkpoint"):
            return self._beside(value)
        return value

    def _is_path(self, value: str, by_look: bool) -> bool:
        """Say whether something that may be a name too is a path: it is there, or (`by_look`) it looks like one."""
        looks = value.startswith(".") or (by_look and ("/" in value or bool(os.path.splitext(value)[1])))
        return looks or os.path.exists(self._beside(value))

    def _named(self, name: str, registry: Registry[Any]) -> str:
        """Let the path in a name such as ``folder:PATH`` start from the file."""
        scheme, colon, rest = name.partition(":")
        if not (colon and rest) or scheme + colon not in registry:
            return name
        place, sign, more = rest.partition("#")
        path = self._beside(place)
        takes_path = getattr(registry[name], "takes_path", None)
        if takes_path or (takes_path is None and os.path.exists(path)):
            return f"{scheme}:{path}{sign}{more}"
        return name

    def _beside(self, path: str) -> str:
        if not self._folder or os.path.isabs(os.path.expanduser(path)):
            return path
        return os.path.normpath(os.path.join(self._folder, path))


def _key(name: Any) -> str:
    return str(name).replace("_", "-")


def _unknown(key: str, known: Sequence[str], others: Sequence[str], of: str) -> str:
    if key in _TYPED and not of:
        return f"{key} is no part of an experiment. {_TYPED[key]}".strip()
    if of and key in _VALUES:
        return f"{key} is not set for {of} by itself. Set it at the top of the file, for all."
    return f"there is no setting {key!r}{f' of {of}' if of else ''}. {did_you_mean(key, [*known, *others])}"


def _short(value: Any) -> str:
    """Return a value as it may be shown, whatever it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else reprlib.repr(value)
