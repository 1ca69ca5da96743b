"""hf:NAME, datasets of the Hugging Face hub and what the datasets library has saved."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hub
import pytest
from click.testing import CliRunner
from fuzz_tools import Spoil, in_time, inputs, spoils, spoilt
from hypothesis import strategies as st
from layouts import draw

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.host import host
from fgvr_bench.core.likeness import _size
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError, UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.testing import check_dataset
from fgvr_datasets._hub_rows import RowImage

BIRDS = ["tree sparrow", "house sparrow", "rook"]
COUNTS = {"train": 6, "test": 9}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(count: int, start: int = 0) -> dict[str, list[Any]]:
    return {
        "image": [{"bytes": draw(start + row, "bird"), "path": f"{row}.jpg"} for row in range(count)],
        "label": [row % len(BIRDS) for row in range(count)],
    }


def birds(**columns: Any) -> Any:
    """Return the splits as the library holds them, with other columns than its own if any are given."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image

    features = Features({"image": Image(), "label": ClassLabel(names=BIRDS)})
    made = {}
    for place, (split, count) in enumerate(COUNTS.items()):
        plain = rows(count, 100 * place)
        cells = {name: [make(row, plain) for row in range(count)] for name, make in columns.items()}
        table = Dataset.from_dict({**plain, **cells}, features=None if columns else features)
        made[split] = table.remove_columns([name for name in ("image", "label") if columns and name not in columns])
    return DatasetDict(made)


def saved(root: Path) -> Path:
    birds().save_to_disk(root / "birds")
    return root / "birds"


def parquet(root: Path) -> Path:
    """Write the files that a repository of the hub has."""
    (root / "birds" / "data").mkdir(parents=True)
    for split, table in birds().items():
        table.to_parquet(root / "birds" / "data" / f"{split}-00000-of-00001.parquet")
    return root / "birds"


def folders(root: Path) -> Path:
    for split, count in COUNTS.items():
        for row in range(count):
            file = root / "birds" / split / BIRDS[row % 3] / f"{row}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(draw(row, split))
    return root / "birds"


def opened(argument: Any) -> Dataset:
    plugin, found = host().datasets.find(f"hf:{argument}")
    return plugin.open([], found)


@pytest.mark.parametrize("write", [saved, parquet, folders])
def test_what_the_library_saved_is_a_dataset(write: Any, tmp_path: Path) -> None:
    place = write(tmp_path)
    dataset = opened(place)
    examples = dataset.examples()
    assert [example.example_id for example in examples] == [f"hf:birds/test/{row:06}" for row in range(9)]
    if write is not folders:  # folders come in the order of their names
        assert list(dataset.labels()) == BIRDS, "as they are declared, not sorted"
        assert [example.label for example in examples] == [BIRDS[row % 3] for row in range(9)]
        assert examples[4].image.read() == draw(104, "bird"), "the very bytes that were stored"
    assert len(dataset.examples("train")) == 6
    carried = pickle.loads(pickle.dumps(examples))
    assert carried[-1].image.read() == examples[8].image.read()
    assert len(pickle.dumps(examples[0].image)) < 4000, "an image travels as the path of its table"
    assert dataset.remarks()[0] == "images from column 'image', labels from 'label'"
    with pytest.raises(UsageError, match=r"no split 'validation'; it has test and train. Name one with --split"):
        dataset.examples("validation")
    check_dataset(host().datasets["hf:x"], argument=str(place))


def test_rows_are_read_once_for_their_digest_and_again_when_their_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = saved(tmp_path)
    (file,) = (place / "test").glob("*.arrow")
    os.utime(file, (1_000_000, 1_000_000))
    digest = dataset_digest(opened(place), "test")
    with monkeypatch.context() as blind:
        blind.setattr(RowImage, "read", lambda image: b"another image")
        assert dataset_digest(opened(place), "test") == digest
        os.utime(file, (2_000_000, 2_000_000))
        assert dataset_digest(opened(place), "test") != digest
    assert _size(opened(place).examples()[0].image) == (48, 36)


def test_one_parquet_file_is_a_test_split_whatever_it_is_called(tmp_path: Path) -> None:
    file = tmp_path / "birds [2] *.parquet"
    birds()["test"].to_parquet(file)
    assert len(opened(f"{file}#birds").examples()) == 9
    assert opened(f"{file}#birds").card.noun == "birds"
    birds()["train"].to_parquet(file)
    assert len(opened(file).examples()) == 6, "a file that changed is read again"


def test_odd_names_of_folders_are_read_or_refused_in_words(tmp_path: Path) -> None:
    assert len(opened(saved(tmp_path / "é [1]")).examples()) == 9
    odd = parquet(tmp_path / "é #2 ' x")
    assert len(opened(odd).examples()) == 9
    with pytest.raises(DataInvalid, match=r"has \* \? or \[ in its name.*Rename the folder, or name a Parquet file"):
        opened(odd.parent.rename(tmp_path / "two [2]") / "birds")


def test_tables_written_without_the_library_are_read_too(tmp_path: Path) -> None:
    import pandas as pd

    plain = {"photo": [draw(row, "x") for row in range(4)], "species": ["Rook", " Crow ", "Rook", "Jay"]}
    pd.DataFrame(plain).to_parquet(tmp_path / "bytes.parquet")
    dataset = opened(tmp_path / "bytes.parquet")
    assert list(dataset.labels()) == ["Crow", "Jay", "Rook"]
    assert dataset.examples()[1].image.read() == draw(1, "x")
    structs = [{"bytes": data, "path": None} for data in plain["photo"]]
    pd.DataFrame({"img": structs, "label": [3, 4, 3, 4]}).to_parquet(tmp_path / "structs.parquet")
    dataset = opened(tmp_path / "structs.parquet")
    assert dataset.examples()[2].image.read() == draw(2, "x")
    assert "its labels are numbers" in dataset.remarks()[1]


def test_columns_may_be_named(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image, Value

    plain = rows(6)
    columns = {"before": plain["image"], "after": plain["image"], "coarse": [0, 1] * 3, "fine": [2, 1, 0] * 2}
    features = Features(
        before=Image(),
        after=Image(),
        coarse=ClassLabel(names=["a", "b"]),
        fine=ClassLabel(names=BIRDS),
        note=Value("string"),
    )
    Dataset.from_dict({**columns, "note": ["-"] * 6}, features=features).save_to_disk(tmp_path / "pairs")
    with pytest.raises(DataInvalid, match=r"images in several columns, before, after. Name one: #image=COLUMN"):
        opened(tmp_path / "pairs")
    with pytest.raises(DataInvalid, match=r"none of them is known to hold labels. Name it: #label=COLUMN"):
        opened(f"{tmp_path}/pairs#image=after")
    dataset = opened(f"{tmp_path}/pairs#birds,image=after,label=fine")
    assert [example.label for example in dataset.examples()][:3] == BIRDS[::-1]
    with pytest.raises(DataInvalid, match=r"column 'note' holds no images"):
        opened(f"{tmp_path}/pairs#image=note")
    with pytest.raises(DataInvalid, match=r"no column 'fin' for labels. Did you mean fine"):
        opened(f"{tmp_path}/pairs#image=after,label=fin")
    plugin, argument = host().datasets.find(f"hf:{tmp_path}/x/../pairs/#birds,label=fine,image=after")
    assert argument is not None
    assert plugin.spelling(argument) == f"{tmp_path}/pairs#image=after,label=fine"
    assert plugin.spelling("org/name#birds,revision=main") == "org/name#revision=main"


def table(root: Path, columns: Mapping[str, list[Any]], features: Any = None) -> Path:
    from datasets import Dataset

    Dataset.from_dict(dict(columns), features=features).save_to_disk(root / "table")
    return root / "table"


def test_what_is_wrong_with_a_table_is_said_in_words(tmp_path: Path) -> None:
    from datasets import ClassLabel, Features, Image

    named = Features(image=Image(), label=ClassLabel(names=BIRDS))
    unlabelled = {**rows(3), "label": [0, -1, 2]}
    several = {**rows(2), "label": [["a", "b"], ["a"]]}
    stray = Features(image=Image(), label=ClassLabel(names=["rook", " rook", "crow"]))
    for place, (columns, features, match) in enumerate(
        [
            (unlabelled, named, r"test: row 1 has no label under 'label'. Test labels are often not published"),
            ({**rows(2), "label": ["crow", None]}, None, r"test: row 1 has no label under 'label'"),
            (several, None, r"has the columns image, label; none of them is known to hold labels"),
            (
                {"path": ["a.jpg"], "label": ["crow"]},
                None,
                r"columns path, label, none of images.*csv: takes tables of",
            ),
            (rows(3), stray, r"names the class 'rook' twice"),
        ]
    ):
        with pytest.raises(DataInvalid, match=match):
            opened(table(tmp_path / str(place), columns, features)).examples()


def test_a_row_leads_to_no_file_elsewhere_and_costs_its_own_answer_alone(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, Value, load_from_disk

    (tmp_path / "secret.jpg").write_bytes(draw(1, "secret"))
    bad = ["../secret.jpg", str(tmp_path / "secret.jpg"), "https://example.org/x.jpg", "absent.jpg", None]
    cells = [{"bytes": None, "path": path} if path else None for path in bad] + [{"bytes": b"no image", "path": None}]
    cells += rows(2)["image"]
    features = Features(image=Features(bytes=Value("binary"), path=Value("string")), label=Value("string"))
    labels = ["rook", "crow", "jay", "jackdaw"] * 2
    Dataset.from_dict({"image": cells, "label": labels}, features=features).save_to_disk(tmp_path / "birds")
    assert isinstance(load_from_disk(tmp_path / "birds").cast_column("image", Image(decode=False))[0]["image"], dict)
    examples = opened(tmp_path / "birds").examples()
    for row, match in enumerate(
        ["does not lie in", "does not lie in", "a web address", "No such file", "row 4 holds no image"]
    ):
        with pytest.raises(OSError, match=match):
            examples[row].image.read()
    words = ["run", "--model", "always-a", "--dataset", f"hf:{tmp_path}/birds", "--options", "random", "--workers", "0"]
    done = CliRunner().invoke(fgvr_bench, [*words, "--results-dir", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(fgvr_bench, ["datasets", "verify", f"hf:{tmp_path}/birds"])
    assert checked.exit_code == 1
    assert "wrong: 6 of 8 test images cannot be decoded" in checked.output


def test_a_saved_dataset_names_no_files_elsewhere(tmp_path: Path) -> None:
    place = saved(tmp_path)
    saved(tmp_path / "other")
    state = json.loads((place / "test" / "state.json").read_text())
    state["_data_files"] = [{"filename": "../../other/birds/test/data-00000-of-00001.arrow"}]
    (place / "test" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataInvalid, match=r"which does not lie in it"):
        opened(place)


def test_damaged_files_and_absent_ones_are_named(tmp_path: Path) -> None:
    place = saved(tmp_path)
    (place / "test" / "data-00000-of-00001.arrow").write_bytes(b"ARROW1 and no more")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and no more")
    birds()["test"].select([]).to_parquet(tmp_path / "bare.parquet")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("birds")
    with pytest.raises(DataInvalid, match=r"birds cannot be read"):
        opened(place)
    with pytest.raises(DataInvalid, match=r"no.parquet cannot be read: .*Parquet magic bytes"):
        opened(tmp_path / "no.parquet")
    with pytest.raises(DataInvalid, match=r"bare.parquet cannot be read: .*no data"):
        opened(tmp_path / "bare.parquet")
    with pytest.raises(DataNotFound, match=r"empty.*doesn't contain any data files"):
        opened(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"notes.txt is no file that hf: reads"):
        opened(tmp_path / "notes.txt")
    with pytest.raises(DataNotFound, match=r"no file or folder .*absent. For a dataset of the hub type hf:ORG"):
        opened("./absent")
    with pytest.raises(UsageError, match=r"'imag=x' is no setting. Did you mean image"):
        opened(f"{tmp_path}/empty#imag=x")
    for setting in ("config=small", "revision=main"):
        with pytest.raises(UsageError, match=rf"{setting.partition('=')[0]}= is for"):
            opened(f"{place}#{setting}")
    with pytest.raises(UsageError, match="hf: needs a name"):
        opened("#birds")
    with pytest.raises(UsageError, match=r"'other' not found. Available: \['default'\].*Name one: #config="):
        opened(f"{parquet(tmp_path / 'repository')}#config=other")


@inputs(
    0.06, how=spoils, name=st.sampled_from(["test/data-00000-of-00001.arrow", "test/state.json", "dataset_dict.json"])
)
def test_any_saved_dataset_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, how: list[Spoil], name: str
) -> None:
    place = tmp_path_factory.getbasetemp() / "spoilt"
    if not place.exists():
        saved(place)
    whole = (place / "birds" / name).read_bytes()
    try:
        (place / "birds" / name).unlink()  # what is mapped into memory stays as it was
        (place / "birds" / name).write_bytes(spoilt(whole, how))
        with in_time(), contextlib.suppress(FgvrError):
            for example in opened(place / "birds").examples():
                with contextlib.suppress(OSError):
                    example.image.read()
    finally:
        (place / "birds" / name).unlink()
        (place / "birds" / name).write_bytes(whole)


ASK = """
import json, sys
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.host import host
from fgvr_bench.core.likeness import _size
from fgvr_bench.errors import FgvrError
said = []
for argument in sys.argv[1:]:
    plugin, found = host().datasets.find(f"hf:{argument}")
    try:
        dataset = plugin.open([], found)
        first = dataset.examples()[0]
        said.append([first.example_id, first.label, len(first.image.read()), list(dataset.remarks())])
    except FgvrError as error:
        said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""


def ask(home: Path, address: str, *arguments: str) -> Any:
    """Open datasets in a process of their own: the hub's client reads its address when it is imported."""
    online = {"FGVR_OFFLINE": "", "HF_HUB_OFFLINE": ""}
    settings = {**os.environ, **online, "HF_HOME": str(home), "HF_ENDPOINT": address}
    done = subprocess.run([sys.executable, "-c", ASK, *arguments], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_dataset_of_the_hub_is_downloaded_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    with hub.serve({"org/birds": parquet(tmp_path)}) as (address, _):
        first, absent, revision = ask(tmp_path / "home", address, "org/birds", "org/unknown", "org/birds#revision=nope")
        assert first[:3] == ["hf:org--birds/test/000000", BIRDS[0], len(draw(100, "bird"))]
        assert first[3][1] == f"it is the hub's commit {hub.COMMIT} (#revision=... names one)"
        assert absent.startswith("DataNotFound: the hub has no dataset org/unknown")
        assert "org/birds has no revision 'nope'" in revision
    pinned, other = f"org/birds#revision={hub.COMMIT}", f"org/birds#revision={'a' * 40}"
    again, same, wrong, unknown = ask(tmp_path / "home", address, "org/birds", pinned, other, "org/unknown")
    assert again == first
    assert same[:3] == first[:3]
    assert f"is in the cache at commit {hub.COMMIT}, not aaaa" in wrong
    assert unknown.startswith("DataNotFound: org/unknown is not in the cache, and the hub cannot be reached")


def test_where_the_network_is_off_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVR_OFFLINE", "1")
    with pytest.raises(DataNotFound, match=r"org/birds is not in the cache, and the hub is not to be reached"):
        opened("org/birds")


def test_a_run_on_a_saved_dataset_is_a_run_like_any_other(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features(image=Image(), label=ClassLabel(names=[*BIRDS, "crow"]))
    plain = {**rows(8), "label": [0, 1, 2, 3] * 2}
    Dataset.from_dict(plain, features=features).save_to_disk(tmp_path / "birds")
    words = ["run", "--model", "always-a", "--dataset", f"hf:{tmp_path}/birds#birds", "--options", "random"]
    where = ["--results-dir", str(tmp_path / "results")]
    done = CliRunner().invoke(fgvr_bench, [*words, "--workers", "1", *where])
    assert done.exit_code == 0, done.output
    assert f"hf:{tmp_path}/birds: images from column 'image', labels from 'label'" in done.output
    (run,) = (tmp_path / "results").rglob("run.json")
    inputs = json.loads(run.read_text())["inputs"]["dataset"]
    assert (inputs["name"], inputs["noun"]) == (f"hf:{tmp_path}/birds", "birds")
    fetched = CliRunner().invoke(fgvr_bench, ["datasets", "fetch", f"hf:{tmp_path}/birds"])
    assert f"hf:{tmp_path}/birds is on this machine: 8 test.\nCheck it with: " in fetched.output
    checked = CliRunner().invoke(fgvr_bench, ["datasets", "verify", f"hf:{tmp_path}/birds"])
    assert checked.exit_code == 0, checked.output
