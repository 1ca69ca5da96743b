"""Option files: written whole, read back exactly, refused when they are not what they claim."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from option_toys import LABELS, Pictures, draw_pictures

from fgvr_bench.core.options import OptionSet, iter_options, read_header, write_options
from fgvr_bench.errors import FormatUnknown, OptionsInvalid
from fgvr_bench.types import Example, FileImage, Options

HEADER = {"dataset": "pictures", "split": "test", "dataset_digest": None, "labels": list(LABELS), "k": 4}


def some_rows(count: int = 7) -> list[Options]:
    return [
        Options(
            f"pictures/test/{number:04}.png",
            tuple(LABELS[(number + step) % 7] for step in range(4)),
            (0.3, 0.1, 0.123456, 0.25 + number / 1000),
            truth_rank=1,
            truth_margin=0.05,
        )
        for number in range(count)
    ]


def examples_of(rows: list[Options]) -> list[Example]:
    return [Example(row.example_id, FileImage("x"), row.truth, "test") for row in rows]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = some_rows()
    made = write_options(tmp_path / "a.jsonl", HEADER, rows)
    assert list(made.for_examples(examples_of(rows))) == rows == list(iter_options(tmp_path / "a.jsonl"))
    assert made.header["examples"] == 7
    assert read_header(tmp_path / "a.jsonl") == made.header


def test_a_set_as_written_is_the_set_as_loaded(tmp_path: Path) -> None:
    rows = [*some_rows(), Options("pictures/test/b", LABELS[:4], (0.123456789, 0.1, 0.2, 1 / 3), 2, -1e-7)]
    made = write_options(tmp_path / "a.jsonl", HEADER | {"sizes": (1, 2)}, rows)
    loaded = OptionSet.load(made.path)
    assert vars(made) == vars(loaded)
    assert [made.row(place, row.example_id) for place, row in enumerate(rows)] == list(iter_options(made.path))


similarity = st.floats(-1, 1).map(lambda value: round(value, 6))


@given(st.lists(st.tuples(st.permutations(LABELS), st.integers(2, 7), similarity, st.booleans()), min_size=1))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_survives_the_way_to_disk_and_back(tmp_path: Path, drawn: list[Any]) -> None:
    rows = [
        Options(
            f"pictures/test/{number:04}",
            tuple(labels[:k]),
            (value,) * k if seen else (),
            3 if seen else None,
            value if seen else None,
        )
        for number, (labels, k, value, seen) in enumerate(drawn)
    ]
    made = write_options(tmp_path / "a.jsonl", HEADER, rows)
    assert list(made.for_examples(examples_of(rows))) == rows


def test_the_same_rows_give_the_same_digest_whatever_the_header(tmp_path: Path) -> None:
    one = write_options(tmp_path / "1.jsonl", HEADER, some_rows())
    other = write_options(tmp_path / "2.jsonl", HEADER | {"miner": "other"}, some_rows())
    assert one.digest == other.digest
    assert one.digest != write_options(tmp_path / "3.jsonl", HEADER, some_rows(6)).digest


def test_a_subset_of_the_examples_gets_its_own_rows(tmp_path: Path) -> None:
    rows = some_rows()
    made = write_options(tmp_path / "a.jsonl", HEADER, rows)
    some = made.for_examples(examples_of(rows[1::2]))
    assert list(some) == rows[1::2]
    assert some[-1] == rows[5]
    assert list(some[1:]) == rows[3::2]


def test_options_take_fewer_than_60_bytes_an_example(tmp_path: Path) -> None:
    made = write_options(tmp_path / "a.jsonl", HEADER, some_rows(1000))
    arrays = (made._ids, made._starts, made._choices, made._similarities, made._ranks, made._margins)
    assert sum(sys.getsizeof(each) for each in arrays) < 60 * 1000


def test_a_missing_example_and_another_truth_are_named(tmp_path: Path) -> None:
    rows = some_rows()
    made = write_options(tmp_path / "a.jsonl", HEADER, rows)
    extra = Example("pictures/test/9999.png", FileImage("x"), LABELS[0], "test")
    with pytest.raises(OptionsInvalid, match=r"no options for pictures/test/9999\.png"):
        made.for_examples([*examples_of(rows), extra])
    relabelled = Example(rows[2].example_id, FileImage("x"), "Frost moth", "test")
    with pytest.raises(OptionsInvalid, match=r"0002\.png is 'Clay moth'; the truth is 'Frost moth'"):
        made.for_examples([relabelled])


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", 7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "pet-37"}, "dataset pet-37, not of pictures"),
        ({"split": "train"}, "split train, not of test"),
        ({"labels": [*LABELS, "Ghost moth"]}, "has no 'Ghost moth'"),
        ({"dataset_digest": "0" * 64}, "other images or labels of pictures test: the dataset digest was 000000000000"),
    ],
)
def test_a_changed_input_is_named(tmp_path: Path, pictures: Pictures, change: dict[str, Any], words: str) -> None:
    made = write_options(tmp_path / "a.jsonl", HEADER | {"dataset_digest": "f" * 64} | change, some_rows())
    with pytest.raises(OptionsInvalid, match=words):
        made.check(pictures, "test", "f" * 64)
    write_options(tmp_path / "b.jsonl", HEADER, some_rows()).check(pictures, "test", "f" * 64)


def _broken(path: Path, name: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    row = json.loads(lines[3])
    edits: dict[str, Any] = {
        "cut within a line": lambda: [*lines[:-1], lines[-1][:-10]],
        "cut between lines": lambda: lines[:-1],
        "no header": lambda: lines[1:],
        "not JSON": lambda: [b"options\n"],
        "empty": list,
        "edited": lambda: [
            *lines[:3],
            _line(row | {"choices": row["choices"][:1] + row["choices"][:0:-1]}),
            *lines[4:],
        ],
        "label unknown": lambda: [*lines[:3], _line(row | {"choices": ["Ghost moth", *LABELS[:3]]}), *lines[4:]],
        "label twice": lambda: [*lines[:3], _line(row | {"choices": [LABELS[0]] * 4}), *lines[4:]],
        "out of order": lambda: [*lines[:3], lines[4], lines[3], *lines[5:]],
        "no choices": lambda: [*lines[:3], _line({"example_id": "pictures/test/x"}), *lines[4:]],
        "newer": lambda: [_line(json.loads(lines[0]) | {"version": 2}), *lines[1:]],
    }
    path.write_bytes(b"".join(edits[name]()))


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("cut within a line", OptionsInvalid, "line 8: the file was cut short"),
        ("cut between lines", OptionsInvalid, "6 of 7 rows"),
        ("no header", FormatUnknown, "not a fgvr-bench/options file"),
        ("not JSON", OptionsInvalid, "not an option set"),
        ("empty", OptionsInvalid, "not an option set"),
        ("edited", OptionsInvalid, "changed after it was written"),
        ("label unknown", OptionsInvalid, "'Ghost moth', which is none of the header's labels"),
        ("label twice", OptionsInvalid, "line 4: .* offers a label twice"),
        ("out of order", OptionsInvalid, "line 5: .* comes after"),
        ("no choices", OptionsInvalid, "line 4: has no choices"),
        ("newer", FormatUnknown, "reads version 1"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, name: str, error: type, words: str) -> None:
    path = tmp_path / "a.jsonl"
    write_options(path, HEADER, some_rows())
    _broken(path, name)
    with pytest.raises(error, match=words):
        OptionSet.load(path)


def test_an_absent_file_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(OptionsInvalid, match="cannot be read"):
        OptionSet.load(tmp_path / "nothing.jsonl")


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_options(path, HEADER, some_rows())
    before = path.read_bytes()

    def failing() -> Iterator[Options]:
        yield some_rows()[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_options(path, HEADER, failing())
    with pytest.raises(OptionsInvalid, match="sorted by id"):
        write_options(path, HEADER, some_rows()[::-1])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_miner_found_stands_in_the_header(tmp_path: Path) -> None:
    def mining() -> Any:
        yield from some_rows()
        return {"unreadable": 1}

    assert write_options(tmp_path / "a.jsonl", HEADER, mining()).header["found"] == {"unreadable": 1}
