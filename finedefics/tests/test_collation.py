"""Batches: those of the published collator byte for byte, and ours that mask, pair and name."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import torch
from finedefics.collation import IGNORED, Collator, category_id
from finedefics.rows import MULTIPLE, SINGLE, TrainingRow, read_rows
from safetensors.torch import load_file

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.errors import DataInvalid, ModelUnavailable, UsageError

RECORDS = [
    *(f"{name}.{side}" for side in ("right", "left") for name in (
        "1_with_negatives", "2_without_negatives", "3_negatives_in_some_rows", "4_finetune_multi_image",
        "5_finetune_single", "6_category_only", "7_attribute_only", "8_attributes_in_some_rows",
        "9_neg_category_without_neg_attribute", "10_neg_attribute_without_neg_category",
    )),
    "5_finetune_single.base_name",
    "seq1_attribute_only",
]  # fmt: skip


def processor_of(folder: Path, side: str = "right") -> Any:
    torchvision_ops.ensure()
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder, do_image_splitting=False)
    processor.tokenizer.padding_side = side
    return processor


@pytest.mark.parametrize("name", RECORDS)
def test_released_batches_are_the_published_ones_byte_for_byte(reference: Path, name: str) -> None:
    folder = reference / "collate"
    record = next(each for each in json.loads((folder / "collate.json").read_text())["records"] if each["name"] == name)
    collate = Collator(
        processor_of(folder / "processor", record["padding_side"]),
        "released",
        end_of_utterance="base" not in record["model_name"],
    )
    batch = collate(read_rows(folder / record["csv"], folder / "images"))
    assert set(batch) == set(record["keys"])
    assert [key for key, value in batch.items() if value is None] == record["none_keys"]
    for key, ids in record["ids"].items():
        assert batch[key].tolist() == ids, key
    for key, tensor in load_file(folder / "batches" / f"{name}.safetensors").items():
        assert batch[key].dtype == tensor.dtype, key
        assert torch.equal(batch[key], tensor), key


def test_no_batch_depends_on_the_one_before_it(reference: Path) -> None:
    folder = reference / "collate"
    collate = Collator(processor_of(folder / "processor"), "released")
    tuned = read_rows(folder / "5_finetune_single.csv", folder / "images")
    alone = collate(tuned)
    collate(read_rows(folder / "7_attribute_only.csv", folder / "images"))
    assert torch.equal(collate(tuned)["input_ids"], alone["input_ids"])


def test_the_processor_that_was_given_stays_as_it_was(reference: Path) -> None:
    torchvision_ops.ensure()
    from transformers import AutoProcessor

    folder = reference / "collate"
    processor = AutoProcessor.from_pretrained(folder / "processor")  # saved with splitting switched on
    processor.tokenizer.padding_side = "left"
    rows = read_rows(folder / "1_with_negatives.csv", folder / "images")
    for reading in ("paper", "released"):
        assert Collator(processor, reading)(rows)["pixel_values"].shape[1] == 1
    assert processor.image_processor.do_image_splitting
    assert processor.tokenizer.padding_side == "left"


@pytest.fixture(scope="module", params=["idefics2", "llava"])
def processor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    build: Callable[[Path], Path] = getattr(tiny_families, request.param)
    return processor_of(build(tmp_path_factory.mktemp(request.param)))


@pytest.fixture
def rows(tmp_path: Path) -> list[TrainingRow]:
    made = []
    names = ["tern", "crow", "tern"]
    for number, picture in enumerate(tiny.pictures(3)):
        path = tmp_path / f"{number}.png"
        picture.save(path)
        others = ("crow", "owl") if names[number] == "tern" else ("tern",)
        made.append(
            TrainingRow(
                question="Which bird is shown?" + " Say its name." * number,
                answer=names[number],
                type=SINGLE,
                image_paths=(path,),
                attribute=f"a bird of the {names[number]} kind",
                neg_attributes=tuple(f"a bird of the {other} kind" for other in others),
                category=names[number],
                neg_categories=others,
                source="train.csv",
                line=number + 2,
            )
        )
    return made


def test_only_the_answer_and_what_ends_it_is_learnt(processor: Any, rows: list[TrainingRow]) -> None:
    batch = Collator(processor)(rows)
    for ids, labels, row in zip(batch["input_ids"], batch["labels"], rows, strict=True):
        learnt = labels[labels != IGNORED]
        assert torch.equal(ids[labels != IGNORED], learnt)
        text = processor.tokenizer.decode(learnt)
        assert text.strip().startswith(row.answer)
        assert int(learnt[-1]) in processor.tokenizer.all_special_ids


def test_every_token_but_padding_and_images_is_learnt_when_asked_for(processor: Any, rows: list[TrainingRow]) -> None:
    batch = Collator(processor, answer_only=False)(rows)
    image = batch["input_ids"] == processor.image_token_id
    expected = (batch["attention_mask"] == 1) & ~image
    assert image.any()
    assert torch.equal(batch["labels"] != IGNORED, expected)


def test_texts_come_masked_with_categories_and_pairs(processor: Any, rows: list[TrainingRow]) -> None:
    batch = Collator(processor)(rows)
    end = processor.tokenizer.eos_token_id
    for name, count in (("att", 3), ("cat", 3), ("neg_att", 5), ("neg_cat", 5)):
        tokens, mask = batch[f"{name}_tokens"], batch[f"{name}_mask"]
        assert tokens.shape == mask.shape
        assert len(tokens) == count
        last = mask.sum(dim=1) - 1
        assert (tokens[torch.arange(count), last] == end).all()
    assert batch["category_ids"].tolist() == [category_id(row.category or "") for row in rows]
    assert batch["neg_att_ids"].tolist() == batch["neg_cat_ids"].tolist()
    assert batch["pairs"].tolist() == [0, 1, 2, 3, 4]
    assert batch["image_rows"].tolist() == [0, 1, 2]
    assert batch["lines"].tolist() == [2, 3, 4]


def test_negatives_that_are_not_of_equal_number_are_not_paired(processor: Any, rows: list[TrainingRow]) -> None:
    batch = Collator(processor)([replace(rows[0], neg_categories=("crow",)), rows[1]])
    assert batch["pairs"].tolist() == [-1, -1, 1]
    assert batch["neg_att_ids"].tolist() == [-1, -1, category_id("tern")]


def test_rows_without_texts_give_questions_alone(processor: Any, rows: list[TrainingRow]) -> None:
    bare = [replace(row, attribute=None, category=None, neg_attributes=(), neg_categories=()) for row in rows]
    for batch in (Collator(processor)(bare), Collator(processor, texts=False)(rows)):
        assert not [key for key in batch if key.endswith(("_tokens", "_ids")) and key != "input_ids"]


@pytest.mark.parametrize("change", [{"attribute": None}, {"category": None}, {"neg_attributes": ("a", " ")}])
def test_a_row_that_would_misalign_its_batch_is_named(
    processor: Any, rows: list[TrainingRow], change: dict[str, Any]
) -> None:
    with pytest.raises(DataInvalid, match=r"train\.csv, line 3"):
        Collator(processor)([rows[0], replace(rows[1], **change)])


@pytest.mark.parametrize("reading", ["paper", "released"])
def test_an_image_that_cannot_be_read_is_named_with_its_row(
    reference: Path, rows: list[TrainingRow], reading: Any
) -> None:
    collate = Collator(processor_of(reference / "collate/processor"), reading)
    rows[1].image_paths[0].write_bytes(b"no picture")
    with pytest.raises(DataInvalid, match=r"train\.csv, line 3: image .*1\.png"):
        collate(rows)
    rows[1].image_paths[0].unlink()
    with pytest.raises(DataInvalid, match=r"train\.csv, line 3: image .*1\.png cannot be read"):
        collate(rows)


def test_several_images_belong_to_their_row(processor: Any, rows: list[TrainingRow]) -> None:
    both = replace(rows[0], type=MULTIPLE, image_paths=(rows[0].image_paths[0], rows[1].image_paths[0]))
    batch = Collator(processor, texts=False)([rows[2], both])
    assert batch["image_rows"].tolist() == [0, 1, 1]
    per_image = (batch["input_ids"] == processor.image_token_id).sum(dim=1).tolist()
    assert per_image[1] == 2 * per_image[0]


def test_the_released_reading_is_that_of_idefics2(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="LlavaProcessor is of another family"):
        Collator(processor_of(tiny_families.llava(tmp_path)), "released")


def test_a_processor_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    processor = processor_of(tiny_families.idefics2(tmp_path))
    processor.chat_template = processor.tokenizer.chat_template = None
    with pytest.raises(ModelUnavailable, match="no chat template"):
        Collator(processor)


def test_a_collator_travels_to_a_process_that_has_imported_nothing(reference: Path, tmp_path: Path) -> None:
    folder = reference / "collate"
    rows = read_rows(folder / "1_with_negatives.csv", folder / "images")
    collators = [Collator(processor_of(folder / "processor"), reading) for reading in ("paper", "released")]
    (tmp_path / "packed").write_bytes(pickle.dumps((collators, rows)))
    code = (
        "import pickle, pathlib; collators, rows = pickle.loads(pathlib.Path('packed').read_bytes());"
        "print(*(int(collate(rows)['input_ids'].sum()) for collate in collators))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(int(collate(rows)["input_ids"].sum())) for collate in collators]
