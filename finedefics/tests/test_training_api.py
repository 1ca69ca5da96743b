"""Training from Python: in memory, again and again, both families, every way of training and every ablation."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import finedefics
import pytest
from finedefics.collation import Collator
from finedefics.loading import load_processor_of, load_weights
from finedefics.rows import MULTIPLE, TrainingRow, read_rows

from fgvr_bench.errors import FgvrError, UsageError

SMALL: dict[str, Any] = {"batch_size": 4, "per_device": 2, "max_steps": 2, "warmup_steps": 0, "device": "cpu"}
EACH: dict[str, Any] = {"conduct": finedefics.Conduct(log_every=1)}


@pytest.mark.parametrize("family", ["base", "llava"])
@pytest.mark.parametrize("stage", ["align", "tune"])
def test_both_stages_learn_their_rows_with_both_families(
    request: pytest.FixtureRequest, rows: Path, family: str, stage: str
) -> None:
    model = request.getfixturevalue(family)
    few = read_rows(rows / {"align": "pretrain.csv", "tune": "finetune.csv"}[stage])[:4]
    settings = {**SMALL, "max_steps": 12, "learning_rate": 3e-3, "method": "full", "per_device": 4}
    trained = getattr(finedefics, stage)(few, str(model), **settings, **EACH)
    losses = [record.loss for record in trained.records]
    assert losses[-1] < losses[0] - 0.5, losses
    assert (set(trained.temperatures) == {"object_attribute", "attribute_category"}) == (stage == "align")


def test_many_runs_in_one_process_start_from_models_in_memory_and_share_prepared_rows(rows: Path, base: Path) -> None:
    import torch

    listed = read_rows(rows / "finetune.csv")
    processor, start = load_processor_of(str(base)), load_weights(str(base), "float32")
    cache = finedefics.RowCache()
    state = torch.get_rng_state()
    given = {"processor": processor, "method": "full", "check": False, **SMALL, "max_steps": 3}
    runs = [
        finedefics.tune(listed, copy.deepcopy(start), cache=shared, seed=seed, **given)
        for seed, shared in ((0, None), (0, cache), (1, cache))
    ]
    weights = [run.merged().state_dict()["lm_head.weight"] for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert len(cache) == len(listed)
    assert torch.equal(state, torch.get_rng_state())
    assert runs[0].output is None


@pytest.mark.parametrize("reading", ["paper", "released"])
@pytest.mark.parametrize("texts", [True, False])
def test_batches_of_prepared_rows_are_the_collators_own(rows: Path, base: Path, reading: Any, texts: bool) -> None:
    import torch

    processor = load_processor_of(str(base))
    listed = read_rows(rows / "pretrain.csv")[:5]
    listed[1] = replace(listed[1], neg_attributes=("a", "much longer description"), neg_categories=("x",))
    listed[2] = replace(listed[2], type=MULTIPLE, image_paths=(*listed[2].image_paths, *listed[3].image_paths))
    collator = Collator(processor, reading, texts=texts)
    whole = collator(listed)
    joined = finedefics.RowCache().collator(collator, processor)(listed)
    assert joined.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, joined[name]), name


def test_adapters_can_be_taken_in_without_a_folder(rows: Path, base: Path) -> None:
    import torch

    trained = finedefics.tune(rows / "finetune.csv", str(base), method="lora", learning_rate=0.01, **SMALL)
    before = load_weights(str(base), "float32").state_dict()
    after = trained.merged().state_dict()
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("text_model" in name for name in changed)
    assert not any("vision_model" in name for name in changed)


@pytest.mark.parametrize("term", ["object-attribute", "attribute-category", "category-category", "generation"])
def test_a_term_that_is_left_out_is_no_part_of_the_loss(rows: Path, base: Path, term: str) -> None:
    settings = {**SMALL, "max_steps": 1, "method": "lora"}
    record = finedefics.align(rows / "pretrain.csv", str(base), without=[term], **settings).records[-1]
    assert term.replace("-", "_") not in record.terms
    assert len(record.terms) == 3
    weights = {"generation": 1.0}
    total = sum(weights.get(name, 0.5) * value for name, value in record.terms.items())
    assert record.loss == pytest.approx(total, rel=1e-5)


def test_the_released_reading_freezes_its_temperatures_and_learns_prompts_too(rows: Path, base: Path) -> None:
    settings = {**SMALL, "method": "lora", "temperature": 0.1, "learning_rate": 0.01}
    paper = finedefics.align(rows / "pretrain.csv", str(base), **settings)
    released = finedefics.align(rows / "pretrain.csv", str(base), reading="released", **settings)
    assert list(released.temperatures.values()) == pytest.approx([0.1, 0.1])
    assert all(value != pytest.approx(0.1, abs=1e-4) for value in paper.temperatures.values())
    assert released.records[0].terms["generation"] != pytest.approx(paper.records[0].terms["generation"], abs=1e-3)


def test_recomputed_activations_change_nothing(rows: Path, base: Path) -> None:
    given = {**SMALL, "method": "lora", **EACH}
    runs = [finedefics.align(rows / "pretrain.csv", str(base), recompute=value, **given) for value in (False, True)]
    assert runs[0].records == runs[1].records


@pytest.mark.parametrize("reading", ["paper", "released"])
def test_a_step_is_the_mean_over_its_tokens_however_it_is_cut(rows: Path, base: Path, reading: str) -> None:
    listed = read_rows(rows / "finetune.csv")[:4]
    listed[1] = replace(listed[1], answer="a tern, a crow, a heron and an owl")
    settings = {**SMALL, "method": "lora", "lora_dropout": 0.0, "reading": reading, **EACH}
    cut, whole = (finedefics.tune(listed, str(base), **{**settings, "per_device": each}).records for each in (1, 4))
    same = [one.loss == pytest.approx(other.loss, rel=1e-5) for one, other in zip(cut, whole, strict=True)]
    norms = [
        one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4) for one, other in zip(cut, whole, strict=True)
    ]
    # The published script took the mean of its passes' means.
    assert all(same + norms) if reading == "paper" else not any(same + norms)
    assert all(record.loss == pytest.approx(record.terms["generation"], rel=1e-5) for record in cut)


def test_the_learning_rate_takes_transformers_course(rows: Path, base: Path) -> None:
    import torch
    from transformers import get_scheduler

    listed = read_rows(rows / "finetune.csv")[:2]
    settings = {"batch_size": 2, "per_device": 1, "warmup_steps": 2, "max_steps": 6, "device": "cpu", "method": "lora"}
    records = finedefics.tune(listed, str(base), learning_rate=1e-3, **settings, **EACH).records
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    course = get_scheduler("linear", optimizer, 2, 6)
    for record in records:
        assert record.learning_rate == pytest.approx(course.get_last_lr()[0])
        optimizer.step()
        course.step()


def test_a_loss_that_is_not_finite_stops_with_the_row(rows: Path, base: Path) -> None:
    import torch

    model, processor = load_weights(str(base), "float32"), load_processor_of(str(base))
    listed = read_rows(rows / "finetune.csv")[:4]
    listed[2] = replace(listed[2], answer="Ω")
    rare = processor.tokenizer("Ω", add_special_tokens=False).input_ids[0]
    with torch.no_grad():
        model.get_input_embeddings().weight[rare] = float("nan")
    settings = {**SMALL, "method": "lora", "per_device": 1, "check": False}
    with pytest.raises(FgvrError, match="the loss of stage tune is not finite") as stopped:
        finedefics.tune(listed, model, processor=processor, **settings)
    assert listed[2].where in stopped.value.message
    assert not any(row.where in stopped.value.message for row in listed if row is not listed[2])


def test_an_image_that_goes_missing_while_training_is_named(rows: Path, base: Path) -> None:
    listed = read_rows(rows / "finetune.csv")[:4]
    listed[0] = replace(listed[0], image_paths=(rows / "gone.png",))
    with pytest.raises(FgvrError, match=r"gone\.png") as stopped:
        finedefics.tune(listed, str(base), check=False, method="lora", **SMALL)
    assert listed[0].where in stopped.value.message


def test_four_bit_training_without_its_library_says_what_to_install(
    rows: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import is_bitsandbytes_available

    if is_bitsandbytes_available():
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(UsageError, match="need bitsandbytes"):
        finedefics.tune(rows / "finetune.csv", str(base), method="qlora", **SMALL)


def test_adapters_trained_on_four_bits_are_merged_into_what_they_were_trained_on(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="4-bit weights need bitsandbytes (pip install 'finedefics[qlora]')")
    import torch

    settings = {**SMALL, "method": "qlora", "lora_dropout": 0.0, "learning_rate": 0.01}
    trained = finedefics.tune(rows / "finetune.csv", str(base), output=tmp_path / "run", **settings)
    processor = load_processor_of(str(base))
    batch = Collator(processor, texts=False)(read_rows(rows / "finetune.csv")[:2])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values", "pixel_attention_mask")}
    # As it was trained: asked to evaluate on a processor, bitsandbytes packs weights, and refuses such small ones.
    expected = trained.model.train()(**inputs).logits.detach()
    with torch.no_grad():
        taken, kept = (
            load_weights(str(finedefics.merge(tmp_path / "run", tmp_path / into, into=into)), "float32")(
                **inputs
            ).logits
            for into in ("trained-on", "original")
        )
    real = batch["attention_mask"].bool()
    assert (taken - expected)[real].abs().max() < 1e-3
    assert (kept - expected)[real].abs().max() > 10 * (taken - expected)[real].abs().max()
    assert "which differ from them by" in (tmp_path / "original" / "README.md").read_text()


def test_a_model_in_memory_needs_its_processor(rows: Path, base: Path) -> None:
    with pytest.raises(UsageError, match="needs its processor"):
        finedefics.tune(rows / "finetune.csv", load_weights(str(base), "float32"), method="lora", **SMALL)


def test_rows_of_no_known_stage_are_a_usage_error() -> None:
    row = TrainingRow("?", "!", "single-image", (Path("x.png"),))
    with pytest.raises(UsageError, match="no stage 'polish'"):
        finedefics.stages.train_stage("polish", [row], "nowhere", device="cpu")
