"""`fgvr_bench.evaluate`, from a script or a notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy import COLOURS, Picture, Script, ToyModel, ToyPlugin, toy_host

import fgvr_bench
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.errors import NameClash, UnknownName, UsageError
from fgvr_bench.interfaces import DatasetCard, ListedDataset
from fgvr_bench.testing import host_with
from fgvr_bench.types import Example, Response

ROOT = Path(__file__).resolve().parent.parent


def play(folder: Path, *models: Any, **settings: Any) -> Evaluation:
    host = toy_host([ToyModel("installed")], [ToyPlugin("toy"), ToyPlugin("other", each=2)])
    given = {"dataset": ["toy", "other"], "results_dir": folder, "workers": 0, **settings}
    return fgvr_bench.evaluate(list(models) or ["installed"], plugins=host, **given)


def test_an_evaluation_is_its_runs_and_shows_itself_as_a_table(tmp_path: Path) -> None:
    evaluation = play(tmp_path, "installed", ToyModel("mine", Script("always-a")))
    assert [(run.model, run.dataset) for run in evaluation] == [
        ("installed", "toy"),
        ("installed", "other"),
        ("mine", "toy"),
        ("mine", "other"),
    ]
    assert len(evaluation) == 4
    assert evaluation[0].metrics["accuracy"] == 1.0
    assert repr(evaluation) == str(evaluation)
    lines = str(evaluation).splitlines()
    assert lines[0].split() == ["model", "dataset", "split", "task", "accuracy", "questions", "failed", "results", "in"]
    assert lines[2].startswith("installed  toy        test     multiple-choice  100.0 %     40           0")
    frame = evaluation.to_pandas()
    assert list(frame.columns[:6]) == ["model", "dataset", "split", "protocol", "task", "questions"]
    assert frame.accuracy.tolist()[:2] == [1.0, 1.0]
    assert frame.folder.tolist() == [str(run.folder) for run in evaluation]


def test_what_a_notebook_shows_is_escaped(tmp_path: Path) -> None:
    html = play(tmp_path / "<b>here</b>", limit=4)._repr_html_()
    assert "&lt;b&gt;here&lt;/b&gt;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 3
    assert "4 (partial)" in html


def test_responses_of_a_run_come_as_they_were_judged(tmp_path: Path) -> None:
    class Fails(Script):
        def _one(self, prompt: Any, image: Any) -> Response:
            if prompt.question_id.startswith("toy/test/Amber/0000"):
                return Response(prompt.question_id, error="too tired")
            return Response(prompt.question_id, "A")

    evaluation = play(tmp_path, ToyModel("mine", Fails()))
    frame = evaluation.responses(0)
    assert len(frame) == 40
    assert frame.correct.mean() == evaluation[0].metrics["accuracy"]
    first = frame.iloc[0]
    assert (first.example_id, first.label, first.error) == ("toy/test/Amber/0000", "Amber", "too tired")
    rest = frame.iloc[1:]
    assert (rest.choice == [choices[0] for choices in rest.choices]).all()
    assert (rest.target == rest.label).all()
    assert len(evaluation.responses()) == 48
    assert set(evaluation.responses().dataset) == {"toy", "other"}
    assert [scored.answer.correct for scored in evaluation.judged(evaluation[1])] == evaluation.responses(
        1
    ).correct.tolist()
    partial = play(tmp_path / "some", limit=4)
    assert len(partial.responses(0)) == 4
    assert partial.responses(0).correct.all()


def test_objects_are_taken_as_they_are_and_asked_anew_unless_told_otherwise(tmp_path: Path) -> None:
    model = ToyModel("mine")
    play(tmp_path, model)
    again = play(tmp_path, model)
    assert model.loads == 4, "an object may be another than it was"
    assert play(tmp_path, model, fresh=False).results == again.results
    assert model.loads == 4
    installed = play(tmp_path)
    assert play(tmp_path).results == installed.results
    assert again.results[0].folder != installed.results[0].folder


def test_a_dataset_may_be_a_list_of_examples(tmp_path: Path) -> None:
    card = DatasetCard("swatches", "Swatches", "colours", 4, options="random", in_all=False)
    examples = [
        Example(f"swatches/test/{label}-{number}", Picture(colour), label, "test")
        for label, colour in COLOURS.items()
        for number in range(3)
    ]
    host = toy_host()
    settings: dict[str, Any] = {"results_dir": tmp_path, "workers": 0, "plugins": host}
    evaluation = fgvr_bench.evaluate(ToyModel("mine"), ListedDataset(card, examples), **settings)
    assert (evaluation[0].questions, evaluation[0].metrics["accuracy"]) == (12, 1.0)
    assert "swatches" not in host.datasets
    assert "mine" not in host.models
    with pytest.raises(UnknownName):
        fgvr_bench.evaluate("mine", "swatches", **settings)


def test_a_miner_of_the_given_plugins_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # new-plugin's test of a miner passes before the plugin is installed
    monkeypatch.syspath_prepend(ROOT / "examples" / "fgvr-plugin-template" / "miner")
    import fgvr_alphabet

    settings: dict[str, Any] = {"options": "alphabet", "limit": 8, "results_dir": tmp_path}
    evaluation = fgvr_bench.evaluate("always-a", "moth-24", plugins=host_with(fgvr_alphabet), **settings)
    assert evaluation[0].inputs["options"]["miner"] == "alphabet"
    with pytest.raises(UnknownName, match="no option miner 'alphabet'"):
        fgvr_bench.evaluate("always-a", "moth-24", **settings)


def test_a_file_describes_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "exp.toml"
    file.write_text('results-dir = "runs"\nworkers = 0\nlimit = 8\ndataset = "toy"\nmodel = "installed"\n')
    host = toy_host([ToyModel("installed")], [ToyPlugin("toy"), ToyPlugin("other")])
    evaluation = fgvr_bench.evaluate(config=file, plugins=host)
    assert [(run.model, run.dataset, run.questions) for run in evaluation] == [("installed", "toy", 8)]
    assert evaluation[0].folder.is_relative_to(tmp_path / "runs")
    mine = fgvr_bench.evaluate(ToyModel("mine"), "other", config=file, plugins=host, limit=4)
    assert [(run.model, run.dataset, run.questions) for run in mine] == [("mine", "other", 4)]


def test_what_evaluate_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"given the class ToyModel for a model. Give a name, or an object of a class"):
        play(tmp_path, ToyModel)
    with pytest.raises(UsageError, match="given a float for a dataset"):
        play(tmp_path, dataset=3.5)
    with pytest.raises(NameClash, match="model 'installed' is claimed by this process and by this process"):
        play(tmp_path, ToyModel("installed"))
    with pytest.raises(UsageError, match=r"is in this process alone. Make a plugin of it \(fgvr-bench new-plugin\)"):
        play(tmp_path, ToyModel("mine"), num_processes=2)
    with pytest.raises(UsageError, match="name at least one model and one dataset"):
        fgvr_bench.evaluate(plugins=toy_host())


def test_what_the_page_shows_is_what_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text()
    pieces = re.findall(r"```(python)?\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    shown = []
    for kind, text in pieces:
        if kind:
            exec(compile(text, "docs/python.md", "exec"), names)
        else:
            shown.append(plain(text))
            assert plain(capsys.readouterr().out) == shown[-1]
    assert len(shown) == 3


def plain(text: str) -> list[str]:
    """Return lines without what may differ: spaces at their ends, and ids of runs."""
    return [re.sub(r"[0-9a-f]{12}", "RUN", line).rstrip() for line in text.strip("\n").splitlines()]


NOTEBOOK = """
import sys
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

class Kernel(InteractiveShell):
    kernel = "what a notebook's shell has and a terminal's has not"

shell = Kernel.instance(display_pub_class=CapturingDisplayPublisher)
shell.run_cell({code!r}).raise_error()
for output in shell.display_pub.outputs:
    print(output["data"]["text/plain"], "|", output["data"].get("text/html"), "|", output.get("update"))
"""


def test_a_notebook_shows_how_far_it_is_and_then_the_table(tmp_path: Path) -> None:
    code = f"""
import fgvr_bench
from fgvr_bench.core import notebooks
notebooks.SECONDS = 0
fgvr_bench.evaluate("always-a", "moth-24", options="random", limit=32, workers=0, results_dir={str(tmp_path)!r})
fgvr_bench.evaluate("always-a", "moth-24", options="random", limit=32, progress=False, results_dir={str(tmp_path)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK.format(code=code)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, "nothing has to be installed beside it"
    lines = [line for line in done.stdout.splitlines() if line.startswith("always-a on moth-24: ")]
    assert re.match(r"always-a on moth-24: 0 of 32 questions \| <div>always-a.*\| False", lines[0])
    assert any('<progress max="1" value="1.000"></progress> always-a on moth-24: 32 of 32' in line for line in lines)
    assert re.match(r"always-a on moth-24: 32 questions, [\d.]+ % .*\| True", lines[-1])
    assert len({line for line in lines if line.startswith("always-a on moth-24: 0 of")}) == 1, "the second is quiet"
