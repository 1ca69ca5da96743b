"""The page about options names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from option_toys import Pictures

from fgvr_bench.cli.options import options
from fgvr_bench.core.host import host
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.miners import __name__ as miners
from fgvr_bench.miners.clip import ClipSettings

PAGE = (Path(__file__).parent.parent / "docs" / "options.md").read_text()


def test_every_miner_has_its_line() -> None:
    table = PAGE.partition("## Miners")[2].partition("`--k`")[0]
    built_in = {name for name in host().miners.names() if type(host().miners[name]).__module__.startswith(miners)}
    assert set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)) == built_in


def test_every_setting_of_clip_is_one() -> None:
    (line,) = re.findall(r"^\| `clip` .*\| (.*) \|$", PAGE, re.MULTILINE)
    known = {"model": "a", "template": "{label}", "dtype": "float32", "precision": "auto"}
    values = known | {"fast-dtype": "float16", "on-bad-image": "skip"}
    assert set(re.findall(r"`([\w-]+)`", line)) == set(values)
    ClipSettings.read(Pictures(Path()), MiningSettings(args=values))


def test_every_command_and_flag_is_there() -> None:
    flags = {flag for command in options.commands.values() for each in command.params for flag in each.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)) <= flags | {"--options"}
    assert set(re.findall(r"fgvr-bench options (\w+)", PAGE)) <= set(options.commands)
