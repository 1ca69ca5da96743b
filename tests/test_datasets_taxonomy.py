"""Ranks above labels: what archives, labels and users' files say, and the credit that answers get for them."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from layouts import lay_out, small_plan
from toy import toy_host

from fgvr_bench.cli import run as command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.rescoring import rescore
from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.errors import DataInvalid
from fgvr_bench.interfaces import Dataset, Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Prompt, Response
from fgvr_datasets.stanford_cars import LONG_MAKES, make_of


def opened(key: str, root: Path) -> Dataset:
    lay_out(small_plan(key), root)
    return small_plan(key).plugin().open([root])


# --- archives and labels -----------------------------------------------------------------------------


def test_every_published_car_has_a_make(reference: Path) -> None:
    path = reference / "option_caches" / "car-196-ViT-L-14-laion2b_s32b_b82k-4.json.gz"
    labels = list(json.loads(gzip.decompress(path.read_bytes())))
    makes = Counter(map(make_of, labels))
    assert (len(labels), len(makes)) == (196, 49)
    assert set(LONG_MAKES) < set(makes)
    assert {"Rolls-Royce", "smart", "Mercedes-Benz", "HUMMER", "FIAT"} < set(makes)
    assert makes["Chevrolet"] == 22
    # a first word that stands for part of a name would be one of few letters or no name at all
    assert not {make for make in makes if len(make) < 3 or any(letter.isdigit() for letter in make)}


def test_cars_and_aircraft_know_their_ranks(tmp_path: Path) -> None:
    assert taxonomy_of(opened("car-196", tmp_path))["Acura RL Sedan 2012"] == ("Acura",)
    assert opened("car-196", tmp_path / "b").taxonomy("AM General Hummer SUV 2000") == ("AM General",)
    aircraft = opened("aircraft-102", tmp_path)
    assert taxonomy_of(aircraft)["707-320"] == ("707-320", "707-320 family")


def test_aircraft_without_the_lists_of_ranks_have_none(tmp_path: Path) -> None:
    plan = small_plan("aircraft-102")
    lay_out(plan, tmp_path, "loader")
    assert taxonomy_of(plan.plugin().open([tmp_path])) == {}


def test_an_aircraft_of_two_families_is_refused_by_line(tmp_path: Path) -> None:
    folder = lay_out(small_plan("aircraft-102"), tmp_path)
    path = folder / "data" / "images_family_test.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "0000002 Airbus", *lines[2:]]))
    with pytest.raises(DataInvalid, match=r"images_family_test.txt, line 2 puts '707-320' under 'Airbus'"):
        taxonomy_of(small_plan("aircraft-102").plugin().open([tmp_path]))


# --- a user's file -----------------------------------------------------------------------------------

BIRDS = '# order, family\nLaysan_Albatross,Procellariiformes,"Diomedeidae"\nSooty_Albatross, Procellariiformes\r\n'


@pytest.mark.parametrize("place", ["folder", "cache"])
def test_a_file_of_the_user_gives_ranks(tmp_path: Path, place: str) -> None:
    birds = opened("bird-200", tmp_path)
    assert taxonomy_of(birds) == {}
    assert birds.root is not None
    path = birds.root / "taxonomy.csv" if place == "folder" else cache_folder() / "taxonomies" / "bird-200.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(BIRDS)
    assert taxonomy_of(birds) == {
        "Laysan_Albatross": ("Procellariiformes", "Diomedeidae"),
        "Sooty_Albatross": ("Procellariiformes",),
    }


def test_a_file_of_the_user_stands_in_place_of_what_the_dataset_knows(tmp_path: Path) -> None:
    pets = opened("pet-37", tmp_path)
    assert pets.root is not None
    (pets.root / "taxonomy.csv").write_text("Abyssinian,Felidae\n")
    assert taxonomy_of(pets) == {"Abyssinian": ("Felidae",)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Sooty_Albatros,Seabird", "names the class 'Sooty_Albatros', which bird-200 does not have. Did you mean"),
        ("Laysan_Albatross,Seabird", "names the class 'Laysan_Albatross', which .*line 1 has named already"),
        ("Sooty_Albatross", "gives 'Sooty_Albatross' no rank"),
        ("Sooty_Albatross,Seabird,,Albatross", "gives 'Sooty_Albatross' an empty rank"),
        ("Sooty_Albatross,Bird,Albatross", "puts 'Albatross' below 'Bird', where .*line 1 has it below 'Seabird'"),
        ('Sooty_Albatross,"Seabird', "is no line of a CSV file"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    birds = opened("bird-200", tmp_path)
    assert birds.root is not None
    (birds.root / "taxonomy.csv").write_text(f"Laysan_Albatross,Seabird,Albatross\n\n{line}\n")
    with pytest.raises(DataInvalid, match=rf"taxonomy\.csv, line 3 {said}"):
        taxonomy_of(birds)


# --- credit, through the command line ----------------------------------------------------------------


class Says(Model):
    """Answers everything with one text."""

    needs_images = False

    def __init__(self, text: str) -> None:
        self.text = text

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
        return [Response(prompt.question_id, completion=self.text) for prompt in prompts]


class SaysPlugin(ModelPlugin):
    card = ModelCard("says:", "One text", decodings=("generate",))

    def load(self, settings: ModelSettings) -> Model:
        return Says(settings.argument or "")


def ask(key: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, float], set[str]]:
    """Return the metrics of an open-ended run and the rules that decided."""
    plugins = toy_host([SaysPlugin()], [small_plan(key).plugin()])
    monkeypatch.setattr(command, "host", lambda: plugins)
    arguments = ["run", "-m", f"says:{says}", "-d", key, "--task", "open-ended", "--workers", "0"]
    arguments += ["--data-root", str(tmp_path), "--results-dir", str(tmp_path / "results")]
    shutil.rmtree(tmp_path / "results", ignore_errors=True)
    done = CliRunner().invoke(fgvr_bench, arguments)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "results").rglob("run.json")
    return json.loads(path.read_text())["metrics"], set(rescore(plugins, path.parent).rules)


def test_generic_answers_of_cars_and_aircraft_get_credit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(small_plan("car-196"), tmp_path)
    metrics, rules = ask("car-196", "An Acura", tmp_path, monkeypatch)
    labels = small_plan("car-196").labels
    assert metrics["accuracy"] == 0.0
    assert metrics["hierarchical-precision"] == sum(label.startswith("Acura") for label in labels) / len(labels)
    assert rules == {"generic"}
    folder = lay_out(small_plan("aircraft-102"), tmp_path)
    for rank, name in (("manufacturer", "Boeing"), ("family", "Boeing 7x7")):
        path = folder / "data" / f"images_{rank}_test.txt"
        path.write_text("".join(f"{line.split()[0]} {name}\n" for line in path.read_text().splitlines()))
    for says in ("A Boeing", "Boeing 7x7"):
        metrics, rules = ask("aircraft-102", says, tmp_path, monkeypatch)
        assert (metrics["accuracy"], metrics["hierarchical-precision"], rules) == (0.0, 1.0, {"generic"})


def test_a_users_file_gives_credit_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay_out(small_plan("bird-200"), tmp_path)
    assert "hierarchical-precision" in ask("bird-200", "A seabird", tmp_path, monkeypatch)[0]
    assert ask("bird-200", "A seabird", tmp_path, monkeypatch)[1] == {"unread"}
    (folder / "taxonomy.csv").write_text("".join(f"{label},Seabird\n" for label in small_plan("bird-200").labels))
    metrics, rules = ask("bird-200", "A seabird", tmp_path, monkeypatch)
    assert (metrics["hierarchical-precision"], rules) == (1.0, {"generic"})
