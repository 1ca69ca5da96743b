"""Plugins that cannot be used, that stand in one another's way, or that are disabled by a name nobody has."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fgvr_bench.core.checkup import Finding, good, remark, wrong
from fgvr_bench.core.entry_points import disabled_by_environment, installed_points, normal
from fgvr_bench.core.host import COMMANDS_GROUP, GROUP, Host, load_commands
from fgvr_bench.core.names import near

AREA = "plugins"


def look_at_plugins(plugins: Host, commands: Collection[str]) -> Iterator[Finding]:
    """Name every plugin that is broken or shadowed.

    Args:
        plugins: the host, all plugins loaded.
        commands: names of the built-in commands, which no plugin can take.
    """
    problems = plugins.problems()
    for info in problems:
        fix = f"Upgrade it or fgvr-bench, or leave it out: FGVR_DISABLE={info.distribution}"
        yield wrong(AREA, f"{info.name} of {info.distribution} {info.version} cannot be used: {info.error}", fix)
    added, troubles = load_commands(frozenset(commands))
    for trouble in troubles:
        yield wrong(AREA, trouble, "Upgrade it or fgvr-bench, or uninstall it.")
    yield from _disabled()
    whole = len(plugins.plugins) - len(problems)
    outside = sorted({info.distribution for info in plugins.plugins if not info.error} - {"fgvr-bench"})
    beside = f"; from outside: {', '.join(outside)}" if outside else ""
    more = f" and {len(added)} more commands" if added else ""
    yield good(AREA, f"{whole} plugins{more}{beside}")


def _disabled() -> Iterator[Finding]:
    there = {
        name
        for group in (GROUP, COMMANDS_GROUP)
        for point in installed_points(group, frozenset())
        for name in (point.name, point.distribution)
    }
    for name in sorted(disabled_by_environment()):
        if normal(name) in map(normal, there):
            yield remark(AREA, f"FGVR_DISABLE leaves {name.strip()} out")
        else:
            text = f"FGVR_DISABLE names {name.strip()!r}, and no plugin is called so."
            meant = near(name.strip(), there)
            fix = f"Did you mean {' or '.join(meant)}?" if meant else "See their names: fgvr-bench plugins"
            yield wrong(AREA, text, fix)
