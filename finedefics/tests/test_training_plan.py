"""Which rows a step sees, the recipe's checks, and what adapters are put on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from finedefics.batches import Plan, make_plan
from finedefics.logbook import Logbook, StepRecord, read_log
from finedefics.presets import TERMS, Recipe, preset, preset_table
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvr_bench.errors import UsageError


@settings(deadline=None)  # numpy is imported in the first example
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_processes_together_see_what_one_sees_and_every_row_once_an_epoch(
    rows: int, per_device: int, accumulated: int, processes: int, seed: int
) -> None:
    batch = per_device * accumulated * processes
    plan = Plan(rows, batch, per_device, processes, steps=5, seed=seed)
    alone = Plan(rows, batch, batch, 1, steps=5, seed=seed)
    seen = []
    for step in range(plan.steps):
        passes = range(step * accumulated, (step + 1) * accumulated)
        together = [row for number in passes for process in range(processes) for row in plan.of_pass(number, process)]
        assert together == plan.of_step(step) == alone.of_pass(step, 0)
        seen += together
    for start in range(0, len(seen) - rows + 1, rows):
        assert sorted(seen[start : start + rows]) == list(range(rows))
    counts = Counter(seen)
    assert max(counts.values()) - min(counts.get(row, 0) for row in range(rows)) <= 1


def test_steps_follow_from_epochs_and_the_last_one_is_whole() -> None:
    # 38,525 training images in steps of 64: the published count of steps.
    assert make_plan(38_525, preset("paper", "align")).steps == 602
    assert make_plan(2 * 38_525, preset("paper", "tune")).steps == 602
    assert make_plan(10, Recipe(batch_size=4, per_device=2, epochs=1.5)).steps == 4
    assert make_plan(10, Recipe(batch_size=4, per_device=2, max_steps=7)).steps == 7


def test_paper_batches_are_accumulated_as_published_on_eight_processes() -> None:
    assert make_plan(38_525, preset("paper", "align"), processes=8).accumulated == 4
    assert make_plan(77_050, preset("paper", "tune"), processes=8).accumulated == 2


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can() -> None:
    with pytest.raises(UsageError, match="by 3 processes") as refused:
        make_plan(10, Recipe(batch_size=64, per_device=2), processes=3)
    assert "--batch-size 66" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rte": 1e-4}, "learning_rate"),
        ({"learning_rate": 0.0}, "not above 0"),
        ({"lora_dropout": 1.0}, "below 1"),
        ({"warmup_steps": -1}, "below 0"),
        ({"max_steps": True}, "is no int"),
        ({"reading": "mine"}, "not possible"),
        ({"without": TERMS}, "nothing is left"),
        ({"without": ("object-atribute",)}, "not possible"),
        ({"batch_size": 3}, "parts of 2 rows"),
    ],
    ids=str,
)
def test_recipes_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        preset("paper", "align").changed(**changes)


def test_every_setting_of_the_preset_names_its_source() -> None:
    table = preset_table()
    assert {name for name, *_ in table} == set(Recipe.__dataclass_fields__)
    assert all(source for *_, source in table)


def test_the_page_shows_the_preset_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "finedefics.md").read_text()
    shown = page.partition("<!-- preset paper -->")[2].partition("<!-- /preset -->")[0].strip().splitlines()[2:]
    assert shown == [f"| `{name}` | {align} | {tune} | {source} |" for name, align, tune, source in preset_table()]


def test_a_log_goes_on_from_the_step_of_the_checkpoint(tmp_path: Path) -> None:
    book = Logbook(tmp_path, first=0)
    for step in (1, 2, 3):
        book.add(StepRecord(step, step / 4, 1.0, 1e-4, None, {"generation": 1.0}))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step":4,"epo')  # cut off by a kill
    again = Logbook(tmp_path, first=2)
    assert [record.step for record in again.records] == [1, 2]
    assert [record.step for record in read_log(tmp_path)] == [1, 2]


def test_adapters_are_where_the_published_script_puts_them(reference: Path) -> None:
    from fgvr_bench.engines import torchvision_ops

    torchvision_ops.ensure()
    from finedefics.loading import choose_trained
    from transformers import Idefics2Config, Idefics2ForConditionalGeneration

    expected = json.loads((reference / "stage1" / "extras.json").read_text())["lora"]["trainable"]
    config = Idefics2Config(**json.loads((reference / "stage1" / "model" / "config.json").read_text()))
    model = choose_trained(Idefics2ForConditionalGeneration(config), Recipe())
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.removeprefix("base_model.model.") for name in trained} == set(expected)
