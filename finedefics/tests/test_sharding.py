"""Training with weights, gradients and optimiser shared out over processes, by FSDP and by DeepSpeed."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from finedefics.presets import Recipe
from finedefics.sharding import SHARDINGS, deepspeed_settings, plugins
from training_command import LORA, SMALL, log_of, two_processes, typed

from fgvr_bench.errors import FgvrError, UsageError

ON_PROCESSORS = (str(Path(__file__).parent / "sharded_process.py"),)


DEEPSPEED = importlib.util.find_spec("deepspeed") is not None


@pytest.mark.parametrize("sharding", SHARDINGS)
def test_sharded_processes_train_both_stages_as_one_does_and_go_on_to_the_same_bytes(
    sharding: str, rows: Path, base: Path, tmp_path: Path
) -> None:
    if sharding != "fsdp" and not DEEPSPEED:
        pytest.skip("DeepSpeed is not installed (pip install 'finedefics[deepspeed]')")
    full = ["-m", base, *SMALL, "--method", "full", "--learning-rate", "0.01", "--max-steps", "3"]
    full += ["--log-every", "1", "--save-every", "2"]
    whole = ["train", "--align-rows", rows / "pretrain.csv", "--tune-rows", rows / "finetune.csv", *full]
    alone = typed(*whole, "--output", tmp_path / "one")
    assert alone.exit_code == 0, alone.output
    # Accelerate has DeepSpeed on what it finds, not on processors by name.
    sharded = ["--per-device", "1", "--shard", sharding, "--device", "cpu" if sharding == "fsdp" else "auto"]
    align = tmp_path / "two" / "align"
    two_processes("align", rows / "pretrain.csv", *full, *sharded, "--output", align, program=ON_PROCESSORS)
    weights = align / "checkpoint-000003" / "weights.safetensors"
    before = weights.read_bytes()
    shutil.rmtree(weights.parent)
    said = two_processes(*whole, *sharded, "--output", tmp_path / "two", program=ON_PROCESSORS)
    assert "stage I (align): 3 steps, from step 2 on" in said
    assert weights.read_bytes() == before
    for stage in ("align", "tune"):
        for one, two in zip(log_of(tmp_path / "one" / stage), log_of(tmp_path / "two" / stage), strict=True):
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
            assert two["terms"] == pytest.approx(one["terms"], rel=1e-3)
            assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
    assert (tmp_path / "two" / "tuned" / "model.safetensors").is_file()


def test_a_run_goes_on_sharded_as_it_was_begun(rows: Path, base: Path, tmp_path: Path) -> None:
    command = ["tune", rows / "finetune.csv", "-m", base, "-o", tmp_path / "run", *LORA]
    assert typed(*command, "--max-steps", "1").exit_code == 0
    facts = tmp_path / "run" / "training.json"
    facts.write_text(facts.read_text().replace('"sharding": null', '"sharding": "zero2"'))
    other = typed(*command, "--max-steps", "1")
    assert other.exit_code == 2
    assert "sharding zero2, now None" in other.output


def test_weights_in_4_bits_are_not_sharded() -> None:
    with pytest.raises(UsageError, match="each GPU holds them whole"):
        plugins("fsdp", Recipe(method="qlora"), "bfloat16", 1)


@pytest.mark.skipif(DEEPSPEED, reason="DeepSpeed is installed")
def test_deepspeed_that_is_not_installed_is_named_with_the_way_out() -> None:
    with pytest.raises(FgvrError, match=r"pip install 'finedefics\[deepspeed\]'.*--shard fsdp"):
        plugins("zero2", Recipe(method="lora"), "bfloat16", 1)


@pytest.mark.parametrize("stage", [2, 3])
def test_accelerate_takes_the_settings_for_deepspeed_as_they_are(stage: int) -> None:
    from accelerate.utils import DeepSpeedPlugin

    recipe = Recipe(method="full", batch_size=64, per_device=2, max_grad_norm=0.5)
    plugin = DeepSpeedPlugin(hf_ds_config=deepspeed_settings(stage, recipe, "bfloat16", 4), zero3_init_flag=False)
    plugin.set_mixed_precision("bf16")
    plugin.deepspeed_config_process(must_match=True, gradient_clipping=0.5, train_micro_batch_size_per_gpu=2)
    assert (plugin.zero_stage, plugin.gradient_accumulation_steps) == (stage, 4)
    assert plugin.deepspeed_config["bf16"] == {"enabled": True}
    assert "auto" not in str(plugin.deepspeed_config)


def test_the_check_of_several_gpus_runs_on_a_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "argv", ["sharded.py", "--tiny", "--parts", "whole"])
    runpy.run_path(str(folder / "sharded.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "failed" not in said
    assert said.count(": loss ") == 3
