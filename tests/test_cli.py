"""The command line as a user types it: what it says, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from fgvr_bench.cli.main import COMMANDS, fgvr_bench, main

SIX = ("aircraft-102", "bird-200", "car-196", "dog-120", "flower-102", "pet-37")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(folder: Path) -> str:
    """Lay out twelve photographs of three classes."""
    for label in ("Dunlin", "Knot", "Ruff"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (20, 20), (40 * number, 90, 120)).save(folder / "photos" / label / f"{number}.png")
    return f"folder:{folder / 'photos'}"


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of one command."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(ended.value.code or 0), out, err


def run_random(capsys: pytest.CaptureFixture[str], dataset: str, *words: str) -> tuple[int, str, str]:
    return typed(capsys, "run", "--model", "random", "--dataset", dataset, "--options", "random", *words)


def test_help_names_every_command_and_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = typed(capsys, "--help")
    assert status == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "fgvr-bench run --model moth-clip --dataset moth-24" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rnu",), "Did you mean run?"),
        (("run", "--model", "finedefix", "--dataset", "moth-24"), "Did you mean finedefics"),
        (("run", "--model", "random", "--dataset", "moth"), "Did you mean moth-24"),
        (("run", "--model", "random", "--dataset", "moth-24", "--options", "randon"), "Did you mean random"),
        (("run", "--model", "random", "--dataset", "moth-24", "--protocol", "fgvr"), "Did you mean fgvr-1"),
        (("run", "--model", "random", "--dataset", "moth-24", "--batch-size", "many"), "neither 'auto' nor a number"),
        (("run", "--model", "random", "--dataset", "moth-24", "--model-arg", "x"), "not of the form key=value"),
        (("run", "--model", "random", "--dataset", "moth-24", "--limit", "0"), "0 is not in the range"),
        (("run", "--modle", "random"), "Did you mean"),
    ],
)
def test_wrong_usage_exits_2_and_offers_what_was_meant(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    status, _, err = typed(capsys, *words)
    assert status == 2
    assert said in err


def test_a_run_prints_its_figures_and_where_they_lie(
    photos: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run_random(capsys, photos)
    assert status == 0
    (run_file,) = folder.glob("results/*/random/*/run.json")
    assert str(run_file.parent.relative_to(folder)) in out
    assert "12 questions" in err
    status, _, err = run_random(capsys, photos)
    assert status == 0
    assert "complete already" in err


def test_dry_run_says_what_would_run_and_writes_no_result(
    photos: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run_random(capsys, photos, "--dry-run")
    assert status == 0
    assert out.splitlines()[2].split()[2:5] == ["12", "0", "12"]
    assert "not known before a first run" in out
    assert not (folder / "results").exists()
    run_random(capsys, photos)
    assert "no time" in run_random(capsys, photos, "--dry-run")[1]
    assert "0:00:0" in run_random(capsys, photos, "--seed", "1", "--dry-run")[1], "estimated from the rate before"


def test_without_data_every_dataset_says_where_it_looked_and_what_to_type(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = typed(capsys, "run", "--model", "finedefics", "--dataset", "all")
    assert status == 1
    for name in SIX:
        assert f"{name} is not on this machine. Looked for" in err
        assert f"fgvr-bench datasets fetch {name}" in err
    assert "StevenHH2000/Finedefics is not in the cache" in err


def test_what_can_run_runs_and_the_rest_is_named(photos: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", "random", "--model", "llava", "--dataset", photos, "--dataset", "pet-37", "--options", "random")
    status, out, err = typed(capsys, "run", *words)
    assert status == 1
    assert "random" in out
    assert "pet-37 is not on this machine" in err
    assert "llava-hf/llava-1.5-7b-hf is not in the cache" in err


def test_a_checkpoint_folder_without_config_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    words = ("run", "--model", "idefics2", "--checkpoint", str(folder / "empty"), "--dataset", "moth-24")
    status, _, err = typed(capsys, *words)
    assert status == 1
    assert f"{folder / 'empty'} has no config.json" in err


def test_a_results_folder_that_cannot_be_written_is_named(
    photos: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "taken").write_text("a file")
    status, _, err = run_random(capsys, photos, "--results-dir", str(folder / "taken"))
    assert status == 1
    assert str(folder / "taken") in err
    assert "--results-dir" in err


def test_a_run_of_a_newer_format_is_refused_with_what_to_do(
    photos: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_random(capsys, photos)
    (path,) = folder.glob("results/*/random/*/run.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 7}))
    status, _, err = run_random(capsys, photos)
    assert status == 1
    assert "version 7; this fgvr-bench reads version 1" in err
    assert "pip install --upgrade fgvr-bench" in err


def test_a_folder_that_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run_random(capsys, f"folder:{folder / 'nowhere'}")
    assert status == 1
    assert f"no folder {folder / 'nowhere'}" in err


def test_options_may_come_from_the_environment(
    photos: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVR_RUN_LIMIT", "6")
    _, _, err = run_random(capsys, photos)
    assert "6 questions" in err
    assert "partial run" in err


def test_every_option_of_run_has_the_environment_variable_of_its_own_name() -> None:
    from fgvr_bench.cli.run import run

    for option in run.params:
        name = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
        assert option.envvar == f"FGVR_RUN_{name}" or (option.name or "").upper() == name, option.opts


def test_a_defect_is_one_paragraph_and_its_traceback_goes_to_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*arguments: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("fgvr_bench.cli.run.evaluate_all", breaks)
    status, _, err = run_random(capsys, "moth-24")
    assert status == 1
    assert "unexpected ZeroDivisionError: a defect" in err
    log = Path(os.environ["FGVR_CACHE"]) / "last-error.txt"
    assert str(log) in err
    assert "Traceback" in log.read_text()


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fgvr_bench", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fgvr-bench, version ")


@pytest.mark.parametrize("group", ["options", "datasets", "leaderboard", "results"])
def test_no_line_of_a_group_s_help_is_cut(group: str) -> None:
    """Click cuts the first sentence of a command at 80 columns; each says its line itself."""
    done = CliRunner().invoke(fgvr_bench, [group, "--help"], terminal_width=80)
    listed = done.stdout.partition("Commands:")[2].strip().splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []
