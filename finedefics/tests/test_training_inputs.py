"""Whatever a training file holds, it is read or refused in words; ``FGVR_TEST_INPUTS=110000`` is the long form."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from finedefics.data.descriptions import Described, read_descriptions, write_descriptions
from finedefics.logbook import LOG, read_log
from finedefics.row_checks import check_rows
from finedefics.rows import read_rows
from fuzz_tools import in_time, inputs, spoils, spoilt
from hypothesis import strategies as st

from fgvr_bench.errors import FgvrError

LOGGED = b'{"epoch":0.5,"gradient_norm":1.0,"learning_rate":0.001,"loss":2.5,"step":1,"temperatures":{},"terms":{}}\n'


@inputs(0.03, stage=st.sampled_from(["align", "tune"]), how=spoils)
def test_training_rows(rows: Path, stage: Any, how: Any) -> None:
    path = rows / f"spoilt-{stage}.csv"
    path.write_bytes(spoilt((rows / {"align": "pretrain.csv", "tune": "finetune.csv"}[stage]).read_bytes(), how))
    with in_time(), contextlib.suppress(FgvrError):
        check_rows(read_rows(path), stage)


@inputs(0.03, what=st.sampled_from(["descriptions", "log"]), how=spoils)
def test_descriptions_and_logs(rows: Path, what: str, how: Any) -> None:
    whole = rows / "descriptions.jsonl"
    if not whole.exists():
        write_descriptions(
            whole, {"dataset": "birds"}, [Described(f"b/{n}", "owl", {"eyes": "big"}, "x") for n in "12"]
        )
    path = rows / {"descriptions": "spoilt.jsonl", "log": LOG}[what]
    path.write_bytes(spoilt(whole.read_bytes() if what == "descriptions" else 2 * LOGGED, how))
    with in_time(), contextlib.suppress(FgvrError):
        read_log(rows) if what == "log" else read_descriptions(path).cautions()


def test_a_name_that_no_file_can_have_is_named(rows: Path) -> None:
    path = rows / "nul.csv"
    path.write_text((rows / "finetune.csv").read_text().replace("0.png", "0\0.png"))
    with pytest.raises(FgvrError, match=r"nul\.csv, line 2: image .* cannot be read: embedded null byte"):
        check_rows(read_rows(path), "tune")
