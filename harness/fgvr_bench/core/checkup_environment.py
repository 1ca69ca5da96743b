"""Environment variables that begin like ours and mean nothing, or that say something that cannot be."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from fgvr_bench.core.checkup import Finding, good, wrong
from fgvr_bench.core.fetch import is_offline
from fgvr_bench.core.names import near

AREA = "environment"
PREFIX = "FGVR_"
KNOWN = ("FGVR_CACHE", "FGVR_DATA", "FGVR_DISABLE", "FGVR_OFFLINE", "FGVR_API_KEY", "FGVR_PATIENCE", "FGVR_REFERENCE")
"""Variables that are read beside those of the commands' options."""
OF_TESTS = "FGVR_TEST_"


def look_at_environment(of_options: Collection[str]) -> Iterator[Finding]:
    """Name every ``FGVR_`` variable that nothing reads, with the one that was meant; no value is shown.

    Args:
        of_options: variables of the commands' options, for example ``FGVR_RUN_LIMIT``.
    """
    known = {*KNOWN, *of_options}
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    unread = [name for name in given if name not in known and not name.startswith((OF_TESTS, "FGVR_API_KEY"))]
    for name in unread:
        meant = near(name, known, most=1)
        fix = f"Did you mean {meant[0]}?" if meant else "Unset it; docs/commands.md names those that there are."
        yield wrong(AREA, f"{name} is set, and nothing reads it.", fix)
    for name in ("FGVR_OFFLINE", "HF_HUB_OFFLINE"):
        value = os.environ.get(name, "").lower()
        if value not in {"", "0", "1", "false", "no", "true", "yes"}:
            yield wrong(AREA, f"{name} is neither 1 nor 0, so it counts as 0.", f"{name}=1")
    home = os.environ.get("HF_HOME", "")
    if os.path.lexists(home) and not os.path.isdir(home):
        yield wrong(AREA, f"HF_HOME names {home}, which is no folder.", "Name the folder of the checkpoints.")
    if set(given) - set(unread) or is_offline():
        off = "; the network is off (FGVR_OFFLINE or HF_HUB_OFFLINE)" if is_offline() else ""
        yield good(AREA, f"set: {', '.join(sorted(set(given) - set(unread))) or 'none of ours'}{off}")
