"""Open answers read by meaning: what a stated text model decides, and what it never gets to see."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import lay_out, small_plan
from toy import toy_host

from fgvr_bench.cli import run as run_command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core import text_models
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.rescoring import rescore
from fgvr_bench.engines.open_clip import load_open_clip
from fgvr_bench.errors import ModelUnavailable
from fgvr_bench.interfaces import AskContext, Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.protocols.nearest import NearestName
from fgvr_bench.protocols.openended import OpenEnded
from fgvr_bench.types import Answer, Example, FileImage, Prompt, Question, Response

LABELS = ("Sooty_Tern", "House_Sparrow", "rose", "F-16A/B", "BMW X5 SUV 2007")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    text_models._loaded.cache_clear()
    text_models._places.clear()


@pytest.fixture
def task(folder: Path) -> NearestName:
    return task_of(folder)


def context(folder: Path, labels: tuple[str, ...] = LABELS, **more: Any) -> AskContext:
    return AskContext("things", labels, clip_checkpoint=str(folder), **more)


def task_of(folder: Path, labels: tuple[str, ...] = LABELS, **more: Any) -> NearestName:
    task = NearestName()
    return task.bound(task.identify(context(folder, labels, **more)))


def judged(task: OpenEnded, completion: str, truth: int = 0, labels: tuple[str, ...] = LABELS) -> Answer:
    example = Example("d/test/x", FileImage("unused"), labels[truth], "test")
    question = Question("q", example, labels, truth)
    answer = task.judge(question, Response("q", completion=completion))
    reading = task.read(Response("q", completion=completion), (), labels)
    assert (reading.choice, reading.rule == "nearest") == (answer.choice, answer.rule == "nearest")
    return answer


def nearest_by_hand(folder: Path, text: str, labels: Sequence[str] = LABELS) -> int:
    clip = load_open_clip(str(folder), "cpu", "float64")
    texts = clip.encode_texts([label.replace("_", " ") for label in labels])
    return int((texts @ clip.encode_texts([text])[0]).argmax())


def test_an_answer_without_a_name_is_read_as_the_nearest_label(folder: Path) -> None:
    task = task_of(folder)
    seen = set()
    for text in ("a dark seabird", "some red flower", "fighter jet", "an off-road vehicle", "little brown bird"):
        expected = nearest_by_hand(folder, text)
        answer = judged(task, f"User: Which? Assistant: <think>Hm.</think><answer>{text}</answer>", expected)
        assert (answer.choice, answer.correct, answer.rule) == (expected, True, "nearest")
        assert not judged(task, text, (expected + 1) % len(LABELS)).correct
        seen.add(expected)
    assert len(seen) > 1


@pytest.mark.parametrize(
    "text", ["It is a house sparrow.", "A rose or a house sparrow", "It is not a rose.", "", "<think>A rose?"]
)
def test_what_names_say_is_left_to_names(folder: Path, text: str) -> None:
    assert judged(task_of(folder), text) == judged(OpenEnded(), text)


def test_a_rank_stays_generic_and_a_near_sibling_gets_credit(folder: Path) -> None:
    ranks = dict.fromkeys(LABELS, ("Thing",))
    task = task_of(folder, taxonomy=ranks)
    assert (judged(task, "a thing").rule, judged(task, "a thing").credit) == ("generic", 1.0)
    text = "some red flower"
    other = (nearest_by_hand(folder, text) + 1) % len(LABELS)
    answer = judged(task, text, other)
    assert (answer.rule, answer.correct, answer.credit) == ("nearest", False, 0.5)


def test_an_answer_equally_near_two_labels_is_no_answer(folder: Path) -> None:
    twins = ("tern grey", "tern_grey")  # one text to the model
    answer = judged(task_of(folder, twins), "a dark seabird", 0, twins)
    assert (answer.choice, answer.rule, answer.correct) == (None, "tie", False)


def test_an_unbound_task_reads_names_alone() -> None:
    assert judged(NearestName(), "a dark seabird").rule == "unread"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=80) | st.sampled_from(["\ud800 bird", "\0", "x" * 5000, "🦅" * 400]))
def test_no_text_makes_it_raise_and_it_answers_alike_twice(task: NearestName, text: str) -> None:
    assert judged(task, text) == judged(pickle.loads(pickle.dumps(task)), text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sampled_from(["a dark seabird</s>", "red User:", "<answer>a gull</answer><|im_end|>"]), after=st.text()
)
def test_nothing_after_a_settled_text_changes_the_verdict(task: NearestName, before: str, after: str) -> None:
    assert task.settled(before, (), LABELS)
    assert judged(task, before) == judged(task, before + after)


# --- which model it is ------------------------------------------------------------------------------


def test_the_model_is_part_of_the_identity_and_its_place_is_not(folder: Path, tmp_path: Path) -> None:
    facts = NearestName().identify(context(folder))["text_model"]
    moved = NearestName().identify(context(tiny.clip(tmp_path / "moved")))["text_model"]
    other = NearestName().identify(context(tiny.clip(tmp_path / "other", seed=1)))["text_model"]
    assert facts == moved != other
    assert isinstance(facts, dict)
    assert (facts["checkpoint"], facts["dtype"], facts["device"]) == ("local", "float64", "cpu")
    assert str(folder) not in json.dumps(facts)


def test_labels_are_encoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvr_bench.engines.contrastive import ContrastiveModel

    asked: list[str] = []
    real = ContrastiveModel.embed_texts

    def counted(self: ContrastiveModel, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(ContrastiveModel, "embed_texts", counted)
    first = judged(task_of(folder), "a dark seabird")
    assert len(asked) == len(LABELS) + 1
    text_models._loaded.cache_clear()  # as in another process
    assert judged(task_of(folder), "a dark seabird") == first
    assert len(asked) == len(LABELS) + 2


def test_without_a_model_it_says_what_to_type_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read when the client was imported
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"text model .* hf download laion/\S+; or ask --task open-ended, which"):
        NearestName().identify(AskContext("things", LABELS))


def test_a_model_that_changed_or_went_is_refused(tmp_path: Path) -> None:
    place = tiny.clip(tmp_path / "clip")
    facts = NearestName().identify(context(place))
    text_models._loaded.cache_clear()
    tiny.clip(place, seed=1)
    with pytest.raises(ModelUnavailable, match="sha256 differ"):
        NearestName().bound(facts)
    shutil.rmtree(place)
    with pytest.raises(ModelUnavailable, match="--dry-run"):
        NearestName().bound(facts)


# --- through the command line -----------------------------------------------------------------------


class Describes(Model):
    """Describes what it does not look at."""

    needs_images = False
    texts = ("a dark seabird", "some grey thing that swims", "Laysan Albatross", "")

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
        return [Response(each.question_id, completion=self.texts[len(each.question_id) % 4]) for each in prompts]


class DescribesPlugin(ModelPlugin):
    card = ModelCard("describes", "Descriptions", decodings=("generate",))

    def load(self, settings: ModelSettings) -> Model:
        return Describes()


def test_a_run_is_scored_again_with_the_same_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fgvr_datasets.cub_200 import Birds

    monkeypatch.setattr(Birds, "clip_checkpoint", folder, raising=False)
    plan = small_plan("bird-200", classes=5)
    lay_out(plan, tmp_path)
    plugins = toy_host([DescribesPlugin()], [plan.plugin()])
    monkeypatch.setattr(run_command, "host", lambda: plugins)
    arguments = ["run", "-m", "describes", "-d", "bird-200", "--task", "open-ended-nearest", "--workers", "0"]
    arguments += ["--data-root", str(tmp_path), "--results-dir", str(tmp_path / "results")]
    done = CliRunner().invoke(fgvr_bench, arguments)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "results").rglob("run.json")
    content = json.loads(path.read_text())
    assert content["inputs"]["task_facts"]["text_model"]["checkpoint"] == "local"
    text_models._loaded.cache_clear()
    text_models._places.clear()
    again = rescore(plugins, path.parent)
    assert again.changed == []
    assert again.rules["nearest"] > 0
    assert set(again.rules) <= {"nearest", "name", "other-name", "empty"}
    text_models._loaded.cache_clear()
    text_models._places.clear()
    shutil.rmtree(cache_folder() / "text-models")
    with pytest.raises(ModelUnavailable, match="not known here"):
        rescore(plugins, path.parent)
