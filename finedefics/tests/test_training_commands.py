"""Training as one types it: the whole recipe, runs that are cut off, bad input."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from finedefics.checkpoints import found
from training_command import LORA, log_of, started, two_processes, two_started, typed


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow longer: what a full disk does to it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_whole_recipe_gives_a_checkpoint_that_stock_transformers_and_the_harness_load(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText, AutoProcessor

    command = ["train", "--align-rows", rows / "pretrain.csv", "--tune-rows", rows / "finetune.csv", "--model", base]
    command += ["--output", tmp_path / "out", *LORA, "--max-steps", "2", "--align", "learning_rate=1e-3"]
    for number, picture in enumerate(tiny.pictures(8)):
        (tmp_path / "photos" / "test" / f"bird {number % 4}").mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "photos" / "test" / f"bird {number % 4}" / f"{number}.png")
    command += ["--eval-dataset", f"folder:{tmp_path / 'photos'}", "--eval-base", "--eval-options", "random"]
    absent = typed(*command, "--eval-dataset", "bird-201")
    assert absent.exit_code == 2
    assert "Did you mean bird-200" in absent.output
    assert not (tmp_path / "out").exists()
    done = typed(*command)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    for name in ("base", "aligned", "tuned"):
        assert f"\n{name} " in done.output
        assert len(list((out / "results" / name).glob("*/finedefics/*/run.json"))) == 1
    assert json.loads((out / "align" / "training.json").read_text())["recipe"]["learning_rate"] == 1e-3
    assert json.loads((out / "tune" / "training.json").read_text())["recipe"]["learning_rate"] == 2e-4
    assert set(log_of(out / "align")[0]["terms"]) == {
        "object_attribute",
        "attribute_category",
        "category_category",
        "generation",
    }
    assert (out / "align" / "losses.png").read_bytes().startswith(b"\x89PNG")

    _, report = AutoModelForImageTextToText.from_pretrained(out / "tuned", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert AutoProcessor.from_pretrained(out / "tuned").image_processor.do_image_splitting is False
    assert "quantization_config" not in json.loads((out / "tuned" / "config.json").read_text())
    before, after = (load_file(folder / "model.safetensors") for folder in (base, out / "tuned"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if "vision_model" in name]
    assert {part for name in changed for part in name.split(".")} >= {"text_model", "modality_projection"}
    card = (out / "tuned" / "README.md").read_text()
    assert card.count("## Trained: ") == 2
    assert "seed 0" in card
    assert "transformers" in card

    made = (out / "tuned" / "model.safetensors").stat().st_mtime_ns
    again = typed(*command)
    assert again.exit_code == 0, again.output
    assert (out / "tuned" / "model.safetensors").stat().st_mtime_ns == made


def test_a_run_that_was_killed_and_then_met_a_full_disk_ends_with_the_bytes_of_one_that_was_not(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    command = ["align", rows / "pretrain.csv", "--model", base, *LORA, "--max-steps", "6"]
    command += ["--log-every", "1", "--save-every", "2", "--keep", "5", "--output"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert typed(*command, whole).exit_code == 0

    victim = started(*command, cut)
    assert victim.stdout is not None
    for line in victim.stdout:
        if "step 3" in line:
            victim.send_signal(signal.SIGKILL)
            break
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert (cut / "checkpoint-000002" / "checkpoint.json").exists()
    assert not (cut / "checkpoint-000006").exists()

    shutil.rmtree(cut / "checkpoint-000004", ignore_errors=True)  # it may have come that far
    size = (whole / "checkpoint-000006" / "weights.safetensors").stat().st_size
    with files_of_at_most(size // 2):
        full = typed(*command, cut)
    assert full.exit_code == 1, full.output
    assert "the checkpoint of step 4 cannot be written" in full.output
    assert "The last good one, of step 2, is kept" in full.output
    kept = sorted(path.name for path in cut.glob("*checkpoint-*"))
    assert kept == ["checkpoint-000002"]

    assert typed(*command, cut).exit_code == 0
    for name in ("checkpoint-000006/weights.safetensors", "checkpoint-000006/optimizer.bin", "log.jsonl", "losses.png"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


def test_two_processes_train_as_one_with_the_same_batch(rows: Path, base: Path, tmp_path: Path) -> None:
    common = ["align", rows / "pretrain.csv", "--model", base, *LORA, "--lora-dropout", "0", "--max-steps", "2"]
    common += ["--log-every", "1", "--output"]
    alone = typed(*common, tmp_path / "one")
    assert alone.exit_code == 0, alone.output
    said = two_processes(*common, tmp_path / "two", "--per-device", "1")
    assert said.count("Stage align is done") == 1
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["terms"] == pytest.approx(one["terms"], abs=1e-5)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-5)
        assert two["temperatures"] == pytest.approx(one["temperatures"], abs=1e-7)


def test_processes_that_are_not_alike_or_gone_are_named(tmp_path: Path) -> None:
    said = two_processes(tmp_path, program=(str(Path(__file__).parent / "unlike_processes.py"),))
    assert said.count("entered\n") == 2
    unlike = r"process 1 on .* would train something else than process 0 on .*: rows 12, there 13\."
    assert len(re.findall(unlike, said)) == 2
    assert len(re.findall(r"process 1 on .* does not see what process 0 has written to .*of [01]\.", said)) == 2
    assert said.count("another process of this training has ended") == 1
    assert not (tmp_path / "rows").exists()


def test_ctrl_c_in_one_of_two_processes_ends_both_after_the_step_with_a_checkpoint(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    command = ["tune", rows / "finetune.csv", "-m", base, "-o", tmp_path / "run", *LORA, "--max-steps", "9999"]
    both = two_started(*command, "--log-every", "1", "--save-every", "9999")
    assert both[0].stdout is not None
    for line in both[0].stdout:
        if "step 2" in line:
            both[1].send_signal(signal.SIGINT)
            break
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [1, 1], said
    [(step, _)] = found(tmp_path / "run")
    assert f"stopped after step {step} of 9999. Type the same command again" in " ".join(said[0].split())


@pytest.fixture(scope="module")
def finished(rows: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run."""
    folder = tmp_path_factory.mktemp("runs") / "tune"
    done = typed(
        "tune", rows / "finetune.csv", "-m", base, "-o", folder, *LORA, "--max-steps", "2", "--save-every", "1"
    )
    assert done.exit_code == 0, done.output
    return folder


def test_another_setting_is_not_taken_for_the_same_run(rows: Path, base: Path, finished: Path) -> None:
    command = ["tune", rows / "finetune.csv", "-m", base, "-o", finished, *LORA, "--max-steps", "2"]
    done = typed(*command, "--seed", "1")
    assert done.exit_code == 2
    assert "holds a run with other settings (seed 0, now 1)" in done.output
    assert "--fresh" in done.output


def test_the_newest_checkpoint_is_merged_and_any_other_on_demand(finished: Path, tmp_path: Path) -> None:
    assert typed("merge", finished, "-o", tmp_path / "newest").exit_code == 0
    assert json.loads((tmp_path / "newest" / "finedefics.json").read_text())["step"] == 2
    assert typed("merge", finished, "-o", tmp_path / "first", "--step", "1").exit_code == 0
    assert json.loads((tmp_path / "first" / "finedefics.json").read_text())["step"] == 1
    absent = typed("merge", finished, "-o", tmp_path / "none", "--step", "602")
    assert absent.exit_code == 1
    assert "has no checkpoint of step 602" in absent.output
    assert "It has 1, 2." in absent.output
    other = typed("merge", finished, "-o", tmp_path / "newest", "--step", "1")
    assert other.exit_code == 2
    assert "holds something else already" in other.output


def test_a_checkpoint_that_was_not_finished_is_not_merged(finished: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    (copied / "checkpoint-000002" / "checkpoint.json").unlink()
    assert typed("merge", copied, "-o", tmp_path / "merged").exit_code == 0
    assert json.loads((tmp_path / "merged" / "finedefics.json").read_text())["step"] == 1


def test_a_starting_model_that_is_another_now_is_refused(
    rows: Path, base: Path, llava: Path, finished: Path, tmp_path: Path
) -> None:
    done = typed("merge", finished, "-o", tmp_path / "merged", "--model", llava)
    assert done.exit_code == 1
    assert "is not the model that the run started from" in done.output
    nothing = typed("merge", rows, "-o", tmp_path / "merged")
    assert nothing.exit_code == 1
    assert "is no folder of a training run" in nothing.output


def test_bad_rows_are_named_by_file_and_line_before_a_model_is_loaded(rows: Path, tmp_path: Path) -> None:
    lines = (rows / "pretrain.csv").read_text().splitlines()
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join([*lines[:3], lines[3].replace("2.png", "gone.png"), *lines[4:]]) + "\n")
    command = ["align", bad, "--images-root", rows, "-m", tmp_path / "nowhere", "-o", tmp_path / "run", *LORA]
    done = typed(*command)
    assert done.exit_code == 1
    assert f"{bad}, line 4" in done.output
    assert "gone.png" in done.output
    missing = tmp_path / "missing.csv"
    missing.write_text("\n".join(line.partition(",")[2] for line in lines) + "\n")
    done = typed("align", missing, "-m", tmp_path / "nowhere", "-o", tmp_path / "run", *LORA)
    assert done.exit_code == 1
    assert "has no column question" in done.output
    assert not (tmp_path / "run").exists()


def test_a_run_that_never_came_to_a_checkpoint_holds_nobody_up(rows: Path, base: Path, tmp_path: Path) -> None:
    command = ["tune", rows / "finetune.csv", "-o", tmp_path / "run", *LORA, "--max-steps", "1"]
    photos = typed(*command, "-m", rows)
    assert photos.exit_code == 1
    assert "has no processor" in photos.output
    assert "--model-arg" not in photos.output  # which training has not
    assert typed(*command, "-m", base).exit_code == 0
    assert len(json.loads((tmp_path / "run" / "machine.json").read_text())["executions"]) == 1
    stage = typed("align", *command[1:], "-m", base)
    assert "build-data writes those of stage I to pretrain.csv" in stage.output


def test_merged_weights_can_be_wider_than_the_run_computed_in(rows: Path, base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    command = ["tune", rows / "finetune.csv", "-m", base, "-o", tmp_path / "run", *LORA, "--max-steps", "2"]
    done = typed(*command, "--precision", "bfloat16", "--learning-rate", "0.01")
    assert done.exit_code == 0, done.output
    kept = {}
    for dtype in ("float32", "bfloat16"):
        assert typed("merge", tmp_path / "run", "-o", tmp_path / dtype, "--dtype", dtype).exit_code == 0
        kept[dtype] = load_file(tmp_path / dtype / "model.safetensors")
    wide, narrow = kept["float32"], kept["bfloat16"]
    assert {str(value.dtype) for value in narrow.values()} == {"torch.bfloat16"}
    unrounded = {name for name in wide if not wide[name].equal(wide[name].bfloat16().float())}
    assert unrounded
    assert all("_proj" in name for name in unrounded)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--batch-size", "5"], 2, "a batch of 5 cannot be made of parts of 2 rows"),
        (["--learning-rate", "0"], 2, "learning_rate 0.0 is not above 0"),
        (["--tracker", "tensorbord"], 2, "Did you mean tensorboard?"),
        (["--model", "/nowhere/at/all"], 1, "there is no checkpoint folder /nowhere/at/all"),
    ],
    ids=lambda value: value[0][2:] if isinstance(value, list) else None,
)
def test_settings_that_cannot_be_are_refused_in_words(
    rows: Path, base: Path, tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    done = typed("tune", rows / "finetune.csv", "-m", base, "-o", tmp_path / "run", *LORA, *words)
    assert done.exit_code == status, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_folder_with_something_else_in_it_is_left_alone(rows: Path, base: Path) -> None:
    done = typed("tune", rows / "finetune.csv", "-m", base, "-o", rows, *LORA)
    assert done.exit_code == 2
    assert "holds something else already" in done.output
