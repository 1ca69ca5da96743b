"""A whole experiment in one file: ``fgvr-bench run --config FILE``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fuzz_tools import Spoil, in_time, inputs, spoils, spoilt
from hypothesis import strategies as st
from toy import ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.cli.run import run
from fgvr_bench.core.evaluate import evaluate_all
from fgvr_bench.core.experiment import _VALUES, OF_A_DATASET, OF_A_MODEL, Asked, combine, option_of, read_experiment
from fgvr_bench.core.host import host
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "moths.toml"

TOML = """
seed = 3
batch-size = "auto"
permutations = "cyclic"
data-root = ["data", "/elsewhere"]
results-dir = "out"

[[model]]
name = "moth-clip"
dtype = "float64"
model-arg = { quantize = "4bit", compile = false, depth = 3 }

[[model]]
name = "always-a"

[[dataset]]
name = "moth-24"
split = "validation"
subset = "lists/mine.txt"

[[dataset]]
name = "folder:photos#birds"
limit = 7
"""
YAML = """
# the same
seed: 3
batch_size: auto
permutations: cyclic
data-root: [data, /elsewhere]
results-dir: out
model:
  - name: moth-clip
    dtype: float64
    model-arg: {quantize: 4bit, compile: no, depth: 3}
  - always-a
dataset:
  - name: moth-24
    split: validation
    subset: lists/mine.txt
  - {name: "folder:photos#birds", limit: 7}
"""


def written(folder: Path, content: str, name: str = "exp.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(content)
    return path


def typed(*words: object, variables: dict[str, str] | None = None) -> str:
    done = CliRunner().invoke(fgvr_bench, [str(word) for word in words], env=variables)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: object) -> str:
    done = CliRunner().invoke(fgvr_bench, [str(word) for word in words])
    assert isinstance(done.exception, UsageError | SystemExit)
    return f"{done.output}{done.exception}"


def test_keys_are_the_options_of_run_and_the_fields_of_its_settings() -> None:
    options = {max(option.opts, key=len).removeprefix("--") for option in run.params}
    assert options - set(_VALUES) == {"model", "dataset", "config", "dry-run", "shard"}
    assert set(_VALUES) <= options
    assert {option_of(field.name) for field in dataclasses.fields(RunSettings)} == {*_VALUES, "shard"}
    assert not set(OF_A_MODEL) & set(OF_A_DATASET), "no setting can be at odds with itself"
    assert set(OF_A_MODEL) | set(OF_A_DATASET) <= set(_VALUES)
    page = (ROOT / "docs" / "experiments.md").read_text()
    assert all(f"`{key}`" in page for key in (*OF_A_MODEL, *OF_A_DATASET))


def test_the_two_files_of_the_docs_say_the_same(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text()
    read = []
    for kind in ("toml", "yaml"):
        content = page.partition(f"```{kind}\n")[2].partition("```")[0]
        found = read_experiment(written(tmp_path, content, f"exp.{kind}"), host())
        read.append((found.models, found.datasets, found.settings))
    assert read[0] == read[1]
    assert len(read[0][0]) == len(read[0][1]) == 2


@pytest.mark.parametrize(("name", "content"), [("exp.toml", TOML), ("exp.yaml", YAML), ("exp.yml", "\ufeff" + YAML)])
def test_toml_and_yaml_say_the_same_and_paths_start_from_the_file(tmp_path: Path, name: str, content: str) -> None:
    read = read_experiment(written(tmp_path, content, name), host())
    clip = {"dtype": "float64", "model_args": {"quantize": "4bit", "compile": "no", "depth": "3"}}
    assert read.models == (Asked("moth-clip", clip), Asked("always-a"))
    assert read.datasets == (
        Asked("moth-24", {"split": "validation", "subset": str(tmp_path / "lists/mine.txt")}),
        Asked(f"folder:{tmp_path}/photos#birds", {"limit": 7}),
    )
    assert read.settings == {
        "seed": 3,
        "batch_size": None,
        "permutations": "cyclic",
        "data_roots": (tmp_path / "data", Path("/elsewhere")),
        "results_dir": tmp_path / "out",
    }


def test_from_the_files_own_folder_names_are_as_they_would_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "below", TOML)
    monkeypatch.chdir(tmp_path / "below")
    assert read_experiment(Path("exp.toml"), host()).datasets[1].name == "folder:photos#birds"
    monkeypatch.chdir(tmp_path)
    assert read_experiment(Path("below/exp.toml"), host()).datasets[1].name == "folder:below/photos#birds"


def test_a_name_that_may_be_a_path_is_one_where_it_is_there(tmp_path: Path) -> None:
    content = 'model = ["hf:org/net"]\ndataset = "moth-24"\noptions = "random"\ncheckpoint = "org/net"\n'
    file = written(tmp_path, content)
    names = read_experiment(file, host())
    assert (names.models[0].name, names.settings) == ("hf:org/net", {"options": "random", "checkpoint": "org/net"})
    (tmp_path / "org" / "net").mkdir(parents=True)
    (tmp_path / "random").touch()
    paths = read_experiment(file, host())
    assert paths.models[0].name == f"hf:{tmp_path}/org/net"
    assert paths.settings == {"options": str(tmp_path / "random"), "checkpoint": str(tmp_path / "org/net")}


def test_the_same_experiment_typed_or_in_a_file_is_the_same_runs(tmp_path: Path) -> None:
    words = ["--seed", "5", "--limit", "6", "--options", "random", "--split", "validation", "--workers", "0"]
    words += ["--permutations", "2", "--max-new-tokens", "9", "--results-dir", str(tmp_path / "typed")]
    typed("run", "--model", "always-a", "--model", "random", "--dataset", "moth-24", *words)
    content = f"""
        seed: 5
        options: random
        results-dir: {tmp_path / "told"}
        workers: 0
        max-new-tokens: 9
        model: [always-a, random]
        dataset: {{name: moth-24, split: validation, limit: 6, permutations: 2}}
    """
    typed("run", "--config", written(tmp_path, content, "exp.yaml"))

    def runs(name: str) -> dict[str, Any]:
        return {
            str(path.relative_to(tmp_path / name)): json.loads(path.read_text())["inputs"]
            for path in (tmp_path / name).rglob("run.json")
        }

    assert len(runs("typed")) == 2
    assert runs("told") == runs("typed")


def test_what_is_typed_goes_before_variables_these_before_the_file_and_it_before_defaults(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        'options = "random"\nlimit = 3\nseed = 1\nmodel = [{name = "always-a", max-new-tokens = 5}, "random"]\n'
        'dataset = {name = "moth-24", split = "train"}\n',
    )
    words = ["run", "--config", file, "--dry-run", "--results-dir", tmp_path]
    said = typed(*words)
    assert "split=train, max-new-tokens=5" in said
    assert said.count("random   ") == 1
    assert "     3 " in said
    said = typed(*words, variables={"FGVR_RUN_LIMIT": "4", "FGVR_RUN_SPLIT": "test"})
    assert "     4 " in said
    assert "split=" not in said, "a variable goes before what the file says of one dataset"
    said = typed(*words, "--limit", 5, "--model", "always-a", variables={"FGVR_RUN_LIMIT": "4"})
    assert "     5 " in said
    assert "max-new-tokens=5" in said, "a model that is picked keeps the file's settings"
    assert "random  " not in said
    assert "     3 " in typed("run", "--dry-run", variables={"FGVR_RUN_CONFIG": str(file)})


def test_models_and_datasets_have_settings_of_their_own(tmp_path: Path) -> None:
    plugins = toy_host([ToyModel("one"), ToyModel("two")], [ToyPlugin("toy"), ToyPlugin("other")])
    content = """
        options = "random"
        workers = 0
        [[model]]
        name = "one"
        batch-size = 2
        [[model]]
        name = "two"
        [[dataset]]
        name = "toy"
        [[dataset]]
        name = "other"
        limit = 8
        permutations = "cyclic"
    """
    experiment = read_experiment(written(tmp_path, content), plugins)
    done = evaluate_all(plugins, *combine(experiment, [], [], {"results_dir": tmp_path}), Watcher())
    assert not done.errors
    runs = {(result.model, result.dataset): result for result in done.results}
    assert {key: result.questions for key, result in runs.items()} == {
        ("one", "toy"): 40,
        ("one", "other"): 8,
        ("two", "toy"): 40,
        ("two", "other"): 8,
    }
    plans: Any = {key: result.inputs["batch_plan"] for key, result in runs.items()}
    assert {plans[key]["batch_size"] for key in plans if key[0] == "one"} == {2}
    assert {plans[key]["batch_size"] for key in plans if key[0] == "two"} == {"auto"}
    assert {result.inputs["permutations"] for key, result in runs.items() if key[1] == "other"} == {4}


WRONG = {
    'model = "a"\n\nlimt = 3': "exp.toml, line 3: there is no setting 'limt'. Did you mean limit",
    'models = ["a"]': "line 1: there is no setting 'models'. Did you mean model",
    "limit = 0": "line 1: limit is 0; it has to be a whole number of at least 1",
    'seed = "1"': "line 1: seed is '1'; it has to be a whole number",
    "seed = true": "line 1: seed is true; it has to be a whole number",
    'batch-size = "large"': "batch-size is 'large'; it has to be \"auto\" or a whole number of at least 1",
    "fresh = 1": "fresh is 1; it has to be true or false",
    "permutations = 0": 'permutations is 0; it has to be "cyclic", "all" or a whole number',
    'model-arg = "a=b"': "model-arg is 'a=b'; it has to be a table of names and single values",
    "task = ''": "task is ''; it has to be a text",
    "data-root = [1]": "data-root is [1]; it has to be a text or a list of texts",
    "data-root = []\ndata_root = []": "line 2: data-root is given twice",
    "dry-run = true": "dry-run is no part of an experiment. It is said on the command line",
    '[[model]]\nname = "a"\n[[model]]\nname = "b"\nsplit = "x"': "line 5: split is not set for a model by itself",
    '[[dataset]]\nname = "a"\nlimit = 3\nsplitt = "x"': "line 4: there is no setting 'splitt' of a dataset. Did",
    '[[dataset]]\nsplit = "a"': 'line 1: a dataset has no name. Write: name = "..."',
    "dataset = 3": "line 1: dataset is 3; it has to be a name, or a table with one",
    "limit = \nseed = 1": "is no TOML: Invalid value (at line 1, column 9)",
    "limit = 1\nlimit = 2\n": "is no TOML: Cannot overwrite a value (at line 2",
    "x = " + "[" * 5000: "is no TOML: it is nested too deeply",
}
WRONG_YAML = {
    "model: a\nlimit: 3\nlimit: 4": "exp.yaml, line 3: limit is given twice",
    "options: no": "line 1: options is false; it has to be a text (put it into quotation marks)",
    "dataset:\n- name: moth-24\n  limit: many": "line 3: limit is 'many'; it has to be a whole number",
    "model: [a": "is no YAML: while parsing a flow sequence",
    "- model": "holds no settings. Write a setting a line",
    "": "holds no settings",
    "model: !!python/object/apply:os.system ['true']": "is no YAML: could not determine a constructor",
    "model: &a [*a]": "is nested too deeply",
    "seed: 2024-99-99": "is no YAML: month must be in 1..12",
    "a: " + "[" * 900: "is no YAML: it is nested too deeply",
}


@pytest.mark.parametrize("content", [*WRONG, *WRONG_YAML], ids=range(len(WRONG) + len(WRONG_YAML)))
def test_what_is_wrong_is_named_by_file_line_and_key(tmp_path: Path, content: str) -> None:
    file = written(tmp_path, content, "exp.toml" if content in WRONG else "exp.yaml")
    with pytest.raises(UsageError) as told:
        read_experiment(file, host())
    assert (WRONG | WRONG_YAML)[content] in str(told.value)
    assert str(file) in str(told.value)
    assert len(str(told.value)) < 500


def test_files_that_cannot_be_read_are_refused_in_words(tmp_path: Path) -> None:
    for name, content, words in (
        ("exp.toml", b"\xff", "line 1 is not UTF-8 text. Save the file as UTF-8"),
        ("exp.json", b"{}", "neither TOML nor YAML by its name"),
        ("large.toml", b"#" * (1 << 17) + b"#", "more than 131,072 bytes"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=words):
            read_experiment(tmp_path / name, host())
    assert "absent.toml cannot be read: No such file" in refused("run", "--config", tmp_path / "absent.toml")
    assert "no model is named. Name one with --model" in refused("run", "--dataset", "moth-24")
    only = written(tmp_path, 'model = "always-a"')
    assert f"{only} names no dataset, and neither does the command" in refused("run", "--config", only)


@inputs(0.12, how=spoils, name=st.sampled_from(["f.toml", "f.yaml"]))
def test_any_file_is_an_experiment_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, how: list[Spoil], name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(spoilt((TOML if name == "f.toml" else YAML).encode(), how))
    with in_time(), contextlib.suppress(UsageError):
        read = read_experiment(path, host())
        assert set(read.settings) <= {field.name for field in dataclasses.fields(RunSettings)}
        assert all(isinstance(each.name, str) for each in (*read.models, *read.datasets))


def test_the_example_runs(tmp_path: Path) -> None:
    said = typed("run", "--config", EXAMPLE, "--dry-run", "--results-dir", tmp_path)
    assert said.count("always-a") == said.count("moth-clip") == said.count("moth-idefics2") == 2
    assert "split=validation, options=random, decoding=logprob, batch-size=8" in said
    words = ["--model", "always-a", "--options", "random", "--limit", 4, "--workers", 0]
    said = typed("run", "--config", EXAMPLE, *words, "--results-dir", tmp_path)
    assert said.count("always-a on moth-24: 4 questions") == 2
    assert len(list(tmp_path.rglob("run.json"))) == 2
