"""Which datasets are on this machine, and what stands in their way."""

from __future__ import annotations

import os
from collections.abc import Iterator

from fgvr_bench.core.checkup import Finding, good, remark, wrong
from fgvr_bench.core.host import Host
from fgvr_bench.core.paths import data_roots
from fgvr_bench.errors import FgvrError

AREA = "data"


def look_at_data(plugins: Host) -> Iterator[Finding]:
    """Look for every dataset below the data roots; no image is read."""
    named = [part for part in os.environ.get("FGVR_DATA", "").split(os.pathsep) if part]
    roots = data_roots()
    for root in roots[: len(named)]:
        if not root.is_dir():
            text = f"FGVR_DATA names {root}, which is no folder."
            yield wrong(AREA, text, "Make it, or set FGVR_DATA to the folder that the datasets lie in.")
        elif not os.access(root, os.R_OK | os.X_OK):
            yield wrong(AREA, f"{root} cannot be read.", "Mend its permissions.")
    absent: list[str] = []
    for plugin in plugins.datasets:
        if not (plugin.card.downloads or plugin.card.by_hand):
            continue
        name = plugin.card.name
        try:
            place = plugin.present(roots)
        except (FgvrError, OSError) as error:
            yield wrong(AREA, f"{name} cannot be looked for: {error}.", f"fgvr-bench datasets fetch {name}")
            continue
        if place is not None:
            yield good(AREA, f"{name} in {place}")
            continue
        absent.append(name)
        for root in roots:
            if any((root / name / ".downloads").glob("*")):
                yield remark(AREA, f"{name} is fetched in part in {root}", f"fgvr-bench datasets fetch {name}")
    if absent:
        yield remark(AREA, f"absent: {', '.join(absent)}", f"fgvr-bench datasets fetch {absent[0]}")
