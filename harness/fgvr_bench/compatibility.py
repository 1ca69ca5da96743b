"""Which version of the hooks and interfaces this package has, and whether a plugin was written for it.

A plugin's module states the version it was written for::

    FGVR_BENCH_API = "1.0"

The first number changes when plugins have to be changed, the second when something is added that a plugin may
rely on.  A plugin that states nothing is taken as one for 1.0, the first version there was.
"""

from __future__ import annotations

import re
from typing import Any

API_VERSION = "1.0"
"""Version of hooks, interfaces and types."""

STATEMENT = "FGVR_BENCH_API"
"""The name under which a plugin's module states the version that it was written for."""

UNSTATED = "1.0"


def misfit(stated: Any, api_version: str | None = None) -> str | None:
    """Say in a sentence why a plugin written for one version cannot be used with another; None where it can.

    >>> misfit("1.0") is None
    True
    >>> misfit("2.0", api_version="1.3")
    'it is written for version 2.0 of the plugin interface, and this fgvr-bench has 1.3. Upgrade fgvr-bench.'
    >>> misfit("1.9", api_version="2.0")
    'it is written for version 1.9 of the plugin interface, and this fgvr-bench has 2.0. Upgrade the plugin.'
    """
    stated = UNSTATED if stated is None else stated
    api_version = api_version or API_VERSION
    if not isinstance(stated, str) or not re.fullmatch(r"\d+\.\d+", stated):
        return f"its {STATEMENT} is {stated!r}; it is a text of two numbers, for example {API_VERSION!r}."
    wanted, here = _numbers(stated), _numbers(api_version)
    if wanted[0] == here[0] and wanted <= here:
        return None
    older = "fgvr-bench" if wanted > here else "the plugin"
    return (
        f"it is written for version {stated} of the plugin interface, and this fgvr-bench has {api_version}. "
        f"Upgrade {older}."
    )


def stated_in_source(module: str) -> Any:
    """Return what a module that cannot be imported states, read from its source; None where it states nothing.

    A plugin for a newer version fails at the first name that is not there yet, before it has stated anything.
    """
    import ast
    import importlib.util
    from pathlib import Path

    try:
        found = importlib.util.find_spec(module.partition(":")[0])
        tree = ast.parse(Path(found.origin).read_text()) if found is not None and found.origin else ast.parse("")
    except Exception:  # whatever is wrong with it is told already
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == STATEMENT:
                    return node.value.value
    return None


def _numbers(version: str) -> tuple[int, int]:
    first, second = version.split(".")
    return int(first), int(second)
