"""What fuzzing and killing found once, pinned: each was a crash, a traceback or a wrong word (docs/reliability.md)."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy import ToyPlugin

from fgvr_bench.core import mat_files
from fgvr_bench.core.annotations import read_mat
from fgvr_bench.core.config_files import read_config
from fgvr_bench.core.field_guide import read_guide
from fgvr_bench.core.files import read_json, write_text
from fgvr_bench.core.locks import describe_lock, lock
from fgvr_bench.core.option_files import OptionSet, write_options
from fgvr_bench.engines.openai_api.faults import words_of
from fgvr_bench.errors import DataInvalid, FgvrError, OptionsInvalid
from fgvr_bench.types import Options


def mat(**variables: object) -> bytearray:
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize("value", [0, 14, 255])
def test_a_mat_file_that_crashes_its_reader_is_refused_and_the_next_one_is_read(tmp_path: Path, value: int) -> None:
    data = mat(labels=np.arange(6))
    (tmp_path / "whole.mat").write_bytes(data)
    data[184] = value  # the type of the numbers: SciPy 1.18 reads through a pointer that is none
    (tmp_path / "damaged.mat").write_bytes(data)
    with pytest.raises(DataInvalid, match=r"damaged\.mat is truncated or no MATLAB file.*crashes"):
        read_mat(tmp_path / "damaged.mat", "labels")
    [labels] = read_mat(tmp_path / "whole.mat", "labels")
    assert labels.tolist() == list(range(6))


def test_a_mat_file_that_asks_for_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    data = mat(labels=np.zeros((1, 6)))
    at = data.index(b"\x01\0\0\0\x06\0\0\0")
    data[at : at + 8] = (1 << 20).to_bytes(4, "little") + (1 << 20).to_bytes(4, "little")
    (tmp_path / "bomb.mat").write_bytes(data)
    with pytest.raises(DataInvalid, match=r"bomb\.mat"):
        read_mat(tmp_path / "bomb.mat", "labels")


def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mat_files, "READ", "import time; time.sleep(60)")
    monkeypatch.setattr(mat_files, "SECONDS", 0.3)
    monkeypatch.setattr(mat_files, "_reader", None)
    with pytest.raises(mat_files.MatInvalid):
        mat_files.load_mat(bytes(mat(a=1)))


def test_json_that_is_nested_too_deeply_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(FgvrError, match="nested too deeply"):
        read_json(tmp_path / "deep.json", "any", (1,))
    (tmp_path / "deep.lock").write_text("[" * 100_000)
    assert describe_lock(tmp_path / "deep.lock") is None
    (tmp_path / "guide.jsonl").write_text("[" * 100_000)
    with pytest.raises(FgvrError, match=r"guide\.jsonl, line 1 is no JSON: it is nested too deeply"):
        read_guide(str(tmp_path / "guide.jsonl"), ToyPlugin().open([]))
    assert len(words_of("[" * 100_000)) == 300, "what a server says"
    (tmp_path / "experiment.yaml").write_text("[" * 100_000)
    with pytest.raises(FgvrError, match="nested too deeply"):  # and at once: it would take hours
        read_config(tmp_path / "experiment.yaml")


def test_half_a_character_in_an_option_set_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    header = {"dataset": "d", "split": "test", "labels": ["Knot", "Ruff"]}
    write_options(path, header, [Options("d/test/1", ("Knot", "Ruff"))])
    whole = path.read_text()
    for spoilt in (whole.replace("d/test/1", "d/test/\\ud800"), whole.replace('"Ruff"', "[]", 1)):
        path.write_text(spoilt)
        with pytest.raises(OptionsInvalid, match=r"set\.jsonl"):
            OptionSet.load(path)


def test_half_written_files_of_the_dead_are_cleared_away_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    dying = (
        "import os, sys; from pathlib import Path; from fgvr_bench.core.files import atomic_writer\n"
        "with atomic_writer(Path(sys.argv[1])) as file: file.write(b'half'); file.flush(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", dying, str(tmp_path / "board.md")], check=False)
    living_on = dying.replace("os._exit(9)", "print(1, flush=True); sys.stdin.read()")
    living = subprocess.Popen(
        [sys.executable, "-c", living_on, str(tmp_path / "long.md")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert living.stdout is not None
    living.stdout.readline()
    halves = list(tmp_path.glob(".*"))
    assert len(halves) == 2
    (tmp_path / ".notes.txt.tmp").write_text("somebody else's")
    for path in [*halves, tmp_path / ".notes.txt.tmp"]:
        os.utime(path, (1, 1))
    write_text(tmp_path / "other.md", "whole")
    kept = sorted(path.name.split(".")[1] for path in tmp_path.glob(".*"))
    living.communicate(b"", timeout=30)
    assert kept == ["long", "notes"]
    assert (tmp_path / "long.md").read_bytes() == b"half"
    assert not (tmp_path / "board.md").exists()


def test_a_folder_that_cannot_be_written_to_is_called_that(tmp_path: Path) -> None:
    with (
        pytest.raises(FgvrError, match=r"cannot write to /proc/1: .*a lock is made there"),
        lock(Path("/proc/1/x"), "x"),
    ):
        pass


def say(*words: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "fgvr_bench", *words], stderr=subprocess.PIPE, **how)  # type: ignore[call-overload,no-any-return]


def test_a_full_disk_under_the_output_is_no_defect() -> None:
    with open("/dev/full", "wb") as full:
        done = say("models", stdout=full)
    assert done.returncode == 1
    assert b"the output cannot be written: No space left on device" in done.stderr
    assert b"defect" not in done.stderr


def test_a_copy_of_an_option_set_that_cannot_be_written_is_no_defect() -> None:
    words = ("options", "build", "--dataset", "moth-24", "--miner", "random", "--out", "/proc/1/x/set.jsonl")
    done = say(*words, stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert b"cannot write /proc/1/x/set.jsonl" in done.stderr


def test_the_home_of_a_user_whom_nobody_knows_is_a_path_like_others() -> None:
    words = ("run", "-m", "random", "-d", "moth-24", "--options", "random", "--subset", "~nobody-knows", "--dry-run")
    done = say(*words, stdout=subprocess.DEVNULL)
    assert done.returncode == 2
    assert b"there is no subset '~nobody-knows'" in done.stderr


def test_an_archive_packed_in_a_way_that_nobody_reads_is_refused_in_words(tmp_path: Path) -> None:
    import zipfile

    from fgvr_bench.core.unpack import unpack

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a.jpg", b"data")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 6] = 99  # the version that is needed to unpack it
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataInvalid, match=r"a\.zip is damaged or no archive"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
