"""A run, from questions to files: what it promises, told with toy models."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy import COLOURS, Picture, Registration, Script, ToyDataset, ToyModel, ToyPlugin, toy_host

import fgvr_bench
from fgvr_bench import hookimpl
from fgvr_bench.core.evaluate import evaluate_all
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.core.host import Host
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import FgvrError, OutOfMemory, UnknownName, UsageError
from fgvr_bench.interfaces import Model, ModelPlugin, ModelSettings, Preparer
from fgvr_bench.types import Response


def play(
    folder: Path, model: ToyModel | None = None, dataset: ToyPlugin | None = None, listener: Any = None, **settings: Any
) -> Evaluation:
    """Run one toy model on one toy dataset, all in this process unless told otherwise."""
    model, dataset = model or ToyModel(), dataset or ToyPlugin()
    host = toy_host([model], [dataset])
    if listener is not None:
        assert host.add(listener, "listener").error is None
    settings = {"workers": 0, "results_dir": folder, **settings}
    return fgvr_bench.evaluate(model.card.name, dataset.card.name, plugins=host, **settings)


def lines_of(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (evaluation.results[0].folder / "responses.jsonl").read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file of a results folder that is the run's own, not the machine's."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "machine.json"
    }


def test_a_model_that_knows_scores_one_and_one_that_says_a_scores_the_share_of_a(tmp_path: Path) -> None:
    assert play(tmp_path).results[0].metrics["accuracy"] == 1.0
    evaluation = play(tmp_path, ToyModel("says-a", Script("always-a")))
    targets = [line["target"] for line in lines_of(evaluation)]
    assert evaluation.results[0].metrics["accuracy"] == targets.count(0) / len(targets)
    assert 0 < targets.count(0) < len(targets)


def test_a_complete_run_is_returned_without_loading_the_model(tmp_path: Path) -> None:
    model = ToyModel()
    first = play(tmp_path, model).results[0]
    assert play(tmp_path, model).results[0] == first
    assert model.loads == 1


def test_fresh_asks_everything_again_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    model = ToyModel()
    play(tmp_path, model)
    before = files_of(tmp_path)
    play(tmp_path, model, fresh=True)
    assert model.loads == 2
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("stop_after", [1, 3, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_broke_off_ends_with_the_bytes_of_one_that_did_not(
    tmp_path: Path, stop_after: int, workers: int
) -> None:
    undisturbed = tmp_path / "undisturbed"
    play(undisturbed)

    class Breaks(Script):
        batches = 0

        def respond(self, prompts: Any, batch: Any) -> Any:
            Breaks.batches += 1
            if Breaks.batches > stop_after:
                raise KeyboardInterrupt
            return super().respond(prompts, batch)

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        play(broken, ToyModel("oracle", Breaks()), workers=workers)
    asked_before = stop_after * 4
    model = ToyModel()
    play(broken, model, workers=2 - workers)
    assert files_of(broken) == files_of(undisturbed)
    assert len(model.model.asked) == 40 - asked_before, "what was on disk is not asked again"


def test_a_torn_last_line_is_asked_again(tmp_path: Path) -> None:
    play(tmp_path / "whole")
    play(tmp_path / "torn", limit=20)
    part = next((tmp_path / "torn").rglob("parts/*.jsonl"))
    part.write_bytes(part.read_bytes()[:-9])
    model = ToyModel()
    play(tmp_path / "torn", model)
    assert len(model.model.asked) == 24, "the torn answer's batch is asked whole, as the plan has it"
    assert files_of(tmp_path / "torn") == files_of(tmp_path / "whole")


def test_limit_takes_a_prefix_in_proportion_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    model = ToyModel()
    some = play(tmp_path, model, limit=8).results[0]
    assert (some.questions, some.complete) == (8, False)
    labels = [question.split("/")[2] for question in model.model.asked]
    assert {label: labels.count(label) for label in COLOURS} == dict.fromkeys(COLOURS, 2)
    assert not (some.folder / "responses.jsonl").exists()
    all_of_it = play(tmp_path, model).results[0]
    assert (all_of_it.questions, all_of_it.complete, all_of_it.run_id) == (40, True, some.run_id)
    assert len(model.model.asked) == len(set(model.model.asked)) == 40


def test_cyclic_permutations_show_every_choice_once_in_every_place(tmp_path: Path) -> None:
    evaluation = play(tmp_path, permutations="cyclic")
    targets: dict[str, list[int]] = {}
    for line in lines_of(evaluation):
        targets.setdefault(line["question_id"].partition("#")[0], []).append(line["target"])
    assert len(targets) == 40
    assert all(sorted(places) == [0, 1, 2, 3] for places in targets.values())
    constant = play(tmp_path, ToyModel("says-a", Script("always-a")), permutations="cyclic").results[0]
    assert constant.metrics["accuracy"] == 0.25
    with pytest.raises(UsageError, match="'0' is no number of orders"):
        play(tmp_path, permutations=0)


def test_a_subset_asks_about_its_classes_alone_with_the_same_questions(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Amber\nSky blue\n")
    everything = {line["question_id"]: line for line in lines_of(play(tmp_path / "r"))}
    some = play(tmp_path / "r", subset=str(file))
    assert some.results[0].questions == 20
    assert all(everything[line["question_id"]] == line for line in lines_of(some))
    file.write_text("Amber\nMoss green\n")
    assert play(tmp_path / "r", subset=str(file)).results[0].run_id != some.results[0].run_id, "members, not names"


def test_blank_images_tell_what_the_text_alone_gives(tmp_path: Path) -> None:
    class Sees(Script):
        def _one(self, prompt: Any, image: Any) -> Response:
            assert image.size == (8, 8)
            assert image.getcolors() == [(64, (128, 128, 128))]
            return Response(prompt.question_id, "A")

    dataset = ToyPlugin(broken=frozenset({"Amber/0001"}))
    blank = play(tmp_path, ToyModel("oracle", Sees()), dataset, blank_images=True).results[0]
    assert (blank.questions, blank.failed) == (40, 1), "an image that cannot be shown is no question less"


def test_one_bad_image_is_one_failed_answer(tmp_path: Path) -> None:
    dataset = ToyPlugin(broken=frozenset({"Sky_blue/0003"}))
    evaluation = play(tmp_path, dataset=dataset, workers=1)
    assert evaluation.results[0].failed == 1
    failed = [line for line in lines_of(evaluation) if "error" in line]
    assert [line["question_id"] for line in failed] == ["toy/test/Sky_blue/0003#multiple-choice.0"]
    assert failed[0]["error"] == "image: not an image in a known format"
    assert evaluation.results[0].metrics["accuracy"] == 39 / 40


def test_one_question_that_the_model_fails_on_costs_itself_alone(tmp_path: Path) -> None:
    bad = "toy/test/Amber/0005#multiple-choice.0"
    evaluation = play(tmp_path, ToyModel("oracle", Script(fail_on=frozenset({bad}))))
    failed = [line for line in lines_of(evaluation) if "error" in line]
    assert [line["question_id"] for line in failed] == [bad]
    assert failed[0]["error"] == "model: RuntimeError: the toy broke"


@pytest.mark.parametrize(
    ("mode", "reason"), [("broken", "RuntimeError: the toy broke"), ("short", "it returned 0 responses to 1 prompts")]
)
def test_a_model_that_fails_on_everything_is_named_and_nothing_of_it_kept(
    tmp_path: Path, mode: str, reason: str
) -> None:
    with pytest.raises(FgvrError, match=f"model oracle failed on 12 questions in a row.*{reason}"):
        play(tmp_path, ToyModel("oracle", Script(mode)))
    assert all(path.read_bytes().count(b"\n") == 1 for path in tmp_path.rglob("parts/*.jsonl"))


def test_scores_that_are_not_finite_are_failed_answers(tmp_path: Path) -> None:
    result = play(tmp_path, ToyModel("oracle", Script("nan"))).results[0]
    assert (result.failed, result.metrics["accuracy"]) == (40, 0.0)


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_recorded(tmp_path: Path) -> None:
    class Small(Script):
        def respond(self, prompts: Any, batch: Any) -> Any:
            if len(prompts) > 4:
                raise OutOfMemory("8 do not fit")
            return super().respond(prompts, batch)

    result = play(tmp_path, ToyModel("oracle", Small(batch_size=16))).results[0]
    assert json.loads((result.folder / "run.json").read_text())["batch_size"] == 4
    with pytest.raises(FgvrError, match="--batch-size 4"):
        play(tmp_path, ToyModel("oracle", Small()), batch_size=8)


def test_one_batch_too_many_for_the_memory_is_asked_in_parts_and_the_run_goes_on(tmp_path: Path) -> None:
    class Tight(Script):
        batches = 0

        def respond(self, prompts: Any, batch: Any) -> Any:
            self.batches += 1
            if self.batches == 3:
                raise OutOfMemory("this one does not fit")
            return super().respond(prompts, batch)

    model = Tight(batch_size=8)
    result = play(tmp_path, ToyModel("oracle", model)).results[0]
    assert (result.questions, result.failed, result.metrics["accuracy"]) == (40, 0, 1.0)
    assert sorted(model.asked) == sorted(set(model.asked))
    assert model.batches == 4 + 1 + 8


def test_a_model_finds_its_batch_size_by_the_largest_questions(tmp_path: Path) -> None:
    class Measuring(Script):
        def fitting_batch_size(self, make: Any) -> int:
            prompts, batch = make(3)
            assert len(prompts) == len(batch) == 3
            assert len(set(prompts)) == 1
            return 5

    result = play(tmp_path, ToyModel("oracle", Measuring())).results[0]
    assert json.loads((result.folder / "run.json").read_text())["batch_size"] == 5


def test_a_model_is_loaded_once_for_all_datasets_and_again_after_a_failure(tmp_path: Path) -> None:
    class Lasting(Script):
        closed = 0

        def go_on(self, decoding: Any) -> bool:
            return True

        def close(self) -> None:
            self.closed += 1

    plugin = ToyModel("oracle", Lasting())
    host = Host()
    host.load_entry_points()
    datasets = [ToyPlugin("one"), ToyPlugin("two"), ToyPlugin("three")]
    host.add(Registration([plugin], datasets), "toy")
    settings = RunSettings(results_dir=tmp_path, workers=0)
    done = evaluate_all(host, ["oracle"], ["one", "two", "three"], settings, Watcher())
    assert [result.metrics["accuracy"] for result in done.results] == [1.0] * 3
    assert (plugin.loads, plugin.model.closed) == (1, 1)  # type: ignore[attr-defined]

    plugin.model.mode = "broken"
    settings = RunSettings(results_dir=tmp_path / "again", workers=0)
    done = evaluate_all(host, ["oracle"], ["one", "two"], settings, Watcher())
    assert done.errors
    assert (plugin.loads, plugin.model.closed) == (3, 3)  # type: ignore[attr-defined]


def test_every_answer_is_told_once_and_only_when_it_is_on_disk(tmp_path: Path) -> None:
    class Listener:
        def __init__(self) -> None:
            self.told: list[str] = []
            self.order: list[str] = []

        @hookimpl
        def run_started(self, run: Any) -> None:
            self.order.append("started")

        @hookimpl
        def answer_scored(self, question: Any, response: Response, answer: Any) -> None:
            on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("parts/*.jsonl"))
            assert question.question_id.encode() in on_disk
            assert answer.correct
            self.told.append(question.question_id)

        @hookimpl
        def run_finished(self, result: Any) -> None:
            assert (result.folder / "responses.jsonl").exists()
            self.order.append("finished")

    listener = Listener()
    model = ToyModel()
    play(tmp_path, model, listener=listener)
    assert listener.told == model.model.asked
    assert listener.order == ["started", "finished"]


def test_a_listener_that_fails_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    class Fails:
        @hookimpl
        def run_started(self, run: Any) -> None:
            raise RuntimeError("no listener")

    assert play(tmp_path, listener=Fails()).results[0].complete


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 3},
        {"full_text": True},
        {"max_new_tokens": 5},
        {"permutations": 2},
        {"blank_images": True},
    ],
)
def test_a_changed_call_makes_another_run(tmp_path: Path, change: dict[str, Any]) -> None:
    def model() -> ToyModel:
        return ToyModel("says-a", Script("always-a"))

    assert play(tmp_path, model()).results[0].run_id != play(tmp_path, model(), **change).results[0].run_id


@pytest.mark.parametrize("change", [{"workers": 2}, {"limit": 40}, {"resume_across": True}])
def test_what_cannot_change_an_answer_is_no_part_of_the_identity(tmp_path: Path, change: dict[str, Any]) -> None:
    assert play(tmp_path).results[0].run_id == play(tmp_path, **change).results[0].run_id


def test_other_library_versions_are_named_before_answers_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path, limit=8)
    monkeypatch.setattr("fgvr_bench.core.assembly.library_versions", lambda *owners: {"torch": "99.0"})
    with pytest.raises(FgvrError, match=r"torch .* → 99\.0.*--resume-across"):
        play(tmp_path)
    assert play(tmp_path, resume_across=True).results[0].complete


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    result = play(tmp_path).results[0]
    path = result.folder / "run.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FgvrError, match="version 2; this fgvr-bench reads version 1"):
        play(tmp_path)


def test_unknown_names_settings_and_tasks_are_usage_errors(tmp_path: Path) -> None:
    host = toy_host([ToyModel("finedefics")], [ToyPlugin()])
    with pytest.raises(UnknownName, match="Did you mean finedefics"):
        fgvr_bench.evaluate("finedefix", "toy", plugins=host)
    with pytest.raises(UnknownName, match="Did you mean toy"):
        fgvr_bench.evaluate("finedefics", "toys", plugins=host)
    with pytest.raises(UsageError, match="no task"):
        fgvr_bench.evaluate("finedefics", "toy", plugins=host, task="multiple", results_dir=tmp_path)
    with pytest.raises(UsageError, match="no setting 'batchsize'"):
        fgvr_bench.evaluate("finedefics", "toy", plugins=host, batchsize=3)
    with pytest.raises(UsageError, match="batch_size 0 is not a whole number of at least 1"):
        fgvr_bench.evaluate("finedefics", "toy", plugins=host, batch_size=0)
    with pytest.raises(UsageError, match="no decoding 'beam'"):
        fgvr_bench.evaluate("finedefics", "toy", plugins=host, decoding="beam", results_dir=tmp_path)


def test_two_plugins_that_claim_one_model_are_both_named() -> None:
    host = toy_host([ToyModel("oracle")])
    info = host.add(Registration([ToyModel("oracle")]), "second", "other-package", "2.0")
    assert info.error is not None
    assert "this process" in info.error
    assert "other-package 2.0" in info.error


def test_the_settings_of_run_and_evaluate_are_the_same() -> None:
    from fgvr_bench.cli.run import run

    options = {parameter.name for parameter in run.params} - {"models", "datasets", "config", "dry_run"}
    assert options == set(RunSettings.__dataclass_fields__)


def test_a_model_that_never_answers_ends_no_run_even_in_a_single_batch(tmp_path: Path) -> None:
    with pytest.raises(FgvrError, match="failed on 40 questions in a row"):
        play(tmp_path, ToyModel("oracle", Script("broken", batch_size=64)))
    assert not list(tmp_path.rglob("responses.jsonl"))


def test_batches_without_a_readable_image_hide_no_broken_model(tmp_path: Path) -> None:
    broken = frozenset(f"{label}/{number:04}" for label in COLOURS for number in range(0, 10, 2))
    with pytest.raises(FgvrError, match="failed on 3 questions in a row"):
        play(tmp_path, ToyModel("oracle", Script("broken", batch_size=1)), ToyPlugin(broken=broken))


def test_a_preparer_that_cannot_join_a_batch_is_asked_one_by_one(tmp_path: Path) -> None:
    class Picky(Preparer):
        def batch(self, items: list[Any]) -> Any:
            if len(items) > 1:
                raise ValueError("only one at a time")
            return items

    model = Script()
    model.preparer = Picky()
    assert play(tmp_path, ToyModel("oracle", model)).results[0].metrics["accuracy"] == 1.0


@pytest.mark.parametrize("field", [{"completion": 3}, {"tokens": "one"}, {"stop": "whim"}, {"error": 7}])
def test_an_answer_of_a_wrong_type_is_a_failed_answer(tmp_path: Path, field: dict[str, Any]) -> None:
    class Odd(Script):
        def _one(self, prompt: Any, image: Any) -> Response:
            right = super()._one(prompt, image)
            if "Amber/0003" not in prompt.question_id:
                return right
            made: Response = Response(prompt.question_id, **{"completion": "A", **field})
            return made

    result = play(tmp_path, ToyModel("oracle", Odd())).results[0]
    assert result.failed == 1


def test_a_fault_of_the_machine_stops_the_run_and_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Picture.read

    def out_of_handles(self: Picture) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Picture, "read", out_of_handles)
    with pytest.raises(FgvrError, match=r"Too many open files.*fault of the machine"):
        play(tmp_path)
    monkeypatch.setattr(Picture, "read", read)
    assert play(tmp_path).results[0].metrics["accuracy"] == 1.0


def test_fresh_keeps_the_finished_run_where_the_model_cannot_be_loaded(tmp_path: Path) -> None:
    class Gone(ToyModel):
        def load(self, settings: ModelSettings) -> Model:
            raise FgvrError("no weights")

    play(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(FgvrError, match="no weights"):
        play(tmp_path, Gone(), fresh=True)
    assert files_of(tmp_path) == before


def test_what_a_killed_finish_left_behind_is_cleared_away(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    before = files_of(tmp_path)
    (folder / "parts").mkdir()
    (folder / "parts" / "0.jsonl").write_text("{")
    (folder / ".responses.jsonl.x.tmp").write_text("half")
    play(tmp_path)
    assert files_of(tmp_path) == before


def test_parts_of_another_plan_are_no_answers_of_this_run(tmp_path: Path) -> None:
    folder = play(tmp_path, limit=8).results[0].folder
    part = next(folder.rglob("parts/*.jsonl"))
    header, rest = part.read_text().split("\n", 1)
    part.write_text(json.dumps({**json.loads(header), "plan": "another"}) + "\n" + rest.replace('"A"', '"B"'))
    model = ToyModel()
    assert play(tmp_path, model).results[0].metrics["accuracy"] == 1.0
    assert len(model.model.asked) == 40


@pytest.mark.parametrize("content", ["[]", "{}", '{"complete": 1}', '{"batch_size": 0, "complete": false}'])
def test_a_damaged_run_file_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = play(tmp_path).results[0].folder / "run.json"
    damaged = {"format": "fgvr-bench/run", "version": 1, **(json.loads(content) or {})} if content != "[]" else []
    path.write_text(json.dumps(damaged))
    with pytest.raises(FgvrError, match=r"run\.json.*(damaged|not a fgvr-bench/run)"):
        play(tmp_path)
    assert play(tmp_path, fresh=True).results[0].complete


def test_labels_and_noun_are_part_of_the_identity(tmp_path: Path) -> None:
    class More(ToyDataset):
        def labels(self) -> list[str]:
            return [*COLOURS, "Ochre"]

    says_a = ToyModel("says-a", Script("always-a"))
    first = play(tmp_path, says_a, task="open-ended").results[0]
    plugin = ToyPlugin()
    plugin.dataset = More(plugin.card, 10)
    assert play(tmp_path, says_a, plugin, task="open-ended").results[0].run_id != first.run_id


def test_the_default_identity_of_a_model_holds_all_that_was_asked_of_it() -> None:
    class Plain(ToyModel):
        arguments = ("say",)
        identify = ModelPlugin.identify

    asked = [
        ModelSettings(),
        ModelSettings(args={"say": "A"}),
        ModelSettings(dtype="float64"),
        ModelSettings(device="cuda"),
        ModelSettings(revision="1"),
        ModelSettings(checkpoint="there"),
        ModelSettings(trust_remote_code=True),
    ]
    told = [json.dumps(Plain().identify(settings)) for settings in asked]
    assert len(set(told)) == len(asked)
    assert "secret" not in str(Plain().identify(ModelSettings(argument="gpt@https://me:secret@host/v1")))


def test_a_model_stops_where_the_task_of_this_very_run_is_settled(tmp_path: Path) -> None:
    seen: list[bool] = []

    class Trimmed(ToyModel):
        def load(self, settings: ModelSettings) -> Model:
            assert settings.decoding.settled is not None
            seen.append(settings.decoding.settled("Answer", ("A", "B"), ("x", "y")))
            return super().load(settings)

    model = Trimmed("plain")
    play(tmp_path, model, protocol="foci")
    trimmed = Trimmed("trimmed")
    trimmed.card = replace(trimmed.card, foci_trims=True)
    play(tmp_path, trimmed, protocol="foci")
    assert seen == [True, False], "after `Answer: ` was cut off, `Answer` has not begun to answer"


def test_a_limit_on_a_finished_run_is_said_to_have_no_effect(tmp_path: Path) -> None:
    play(tmp_path)
    told: list[str] = []
    watcher = Watcher()
    watcher.note = told.append  # type: ignore[method-assign]
    host = toy_host([ToyModel()], [ToyPlugin()])
    wanted = RunSettings(limit=8, workers=0, results_dir=tmp_path)
    (result,) = evaluate_all(host, ["oracle"], ["toy"], wanted, watcher).results
    assert (result.complete, result.questions) == (True, 40)
    assert "--limit 8 has no effect, the figures are those of all 40 answers" in told[-1]
