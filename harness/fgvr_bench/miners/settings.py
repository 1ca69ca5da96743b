"""Reading of a miner's own settings (``--miner-arg key=value``)."""

from __future__ import annotations

from collections.abc import Mapping

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import MiningSettings


def take_settings(settings: MiningSettings, miner: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the given settings over the defaults.

    Raises:
        UsageError: a setting that the miner does not have.
    """
    for name in settings.args:
        if name not in defaults:
            has = did_you_mean(name, defaults) if defaults else "It has none."
            raise UsageError(f"option miner {miner} has no setting {name!r}. {has}")
    return {**defaults, **settings.args}


def take_choice(settings: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Return a setting that has to be one of a few words.

    Raises:
        UsageError: it is another.
    """
    value = settings[name]
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(choices)}, not {value!r}.")
    return value
