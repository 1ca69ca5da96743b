"""A run on a published dataset: it asks what the published option set asks."""

from __future__ import annotations

import json
import os
from pathlib import Path

from click.testing import CliRunner
from layouts import lay_out, option_cache, published_plan

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import host
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import DataNotFound


def test_dogs_are_asked_as_published_the_repeated_one_twice(reference: Path, tmp_path: Path) -> None:
    lay_out(published_plan(reference, "dog-120"), tmp_path / "data", drawing=None, splits=("test",))
    published = host().datasets["dog-120"].card.published
    assert published is not None
    (cache_folder() / "published").mkdir(parents=True)
    (cache_folder() / "published" / os.path.basename(published.url)).write_bytes(option_cache(reference, "dog-120"))
    arguments = ["run", "--model", "always-a", "--dataset", "dog-120", "--workers", "0", "--seed", "3"]
    arguments += ["--data-root", str(tmp_path / "data"), "--results-dir", str(tmp_path / "results")]
    done = CliRunner().invoke(fgvr_bench, arguments)
    assert done.exit_code == 0, done.output
    (responses,) = (tmp_path / "results").rglob("responses.jsonl")
    rows = [json.loads(line) for line in responses.read_text().splitlines()]
    assert len(rows) == 8580
    ids = {row["question_id"].partition("#")[0] for row in rows}
    assert len(ids) == 8580
    assert {"dog-120/test/n02085620_1235.jpg", "dog-120/test/n02085620_1235.jpg~2"} <= ids
    assert "dog-120/test/n02085620_2650.jpg" not in ids
    (run,) = (tmp_path / "results").rglob("run.json")
    assert json.loads(run.read_text())["inputs"]["options"]["miner"] == "published"
    assert 0.22 < sum(row["choices"][0] == row["choices"][row["target"]] for row in rows) / 8580 < 0.28


def test_all_without_data_says_for_each_where_it_looked_and_what_to_type(tmp_path: Path) -> None:
    arguments = ["run", "--model", "always-a", "--dataset", "all", "--data-root", str(tmp_path)]
    done = CliRunner().invoke(fgvr_bench, [*arguments, "--results-dir", str(tmp_path / "results")])
    assert done.exit_code != 0
    said = done.output + str(done.exception)
    assert isinstance(done.exception, DataNotFound | SystemExit)
    for key in ("aircraft-102", "bird-200", "car-196", "dog-120", "flower-102", "pet-37"):
        assert f"{key} is not on this machine" in said
        assert f"fgvr-bench datasets fetch {key}" in said
