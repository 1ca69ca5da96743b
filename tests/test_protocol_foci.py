"""Protocol ``foci`` against what the published code does (data made by running it)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import AskContext, Scored
from fgvr_bench.metrics.accuracy import Accuracy
from fgvr_bench.metrics.unparsed import Unparsed
from fgvr_bench.protocols import foci
from fgvr_bench.protocols.foci import FociMultipleChoice, FociYesNo
from fgvr_bench.protocols.foci_import import import_answers, read_rows
from fgvr_bench.types import Example, FileImage, Options, Question, Response

DATA = Path(__file__).parent / "data"
BIRDS = ("Laysan Albatross", "Bohemian Waxwing", "Cardinal", "Downy Woodpecker")


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def content(name: str) -> Any:
    return json.loads((DATA / name).read_text())


TEMPLATES: dict[str, str] = content("prompts/meta.json")["templates"]


def bird(options: tuple[str, ...] = BIRDS) -> tuple[Example, Options]:
    shown = Example("bird-200/test/x.jpg", FileImage("x.jpg"), options[0], "test")
    return shown, Options(shown.example_id, options)


@pytest.mark.parametrize("case", lines("prompts/mc.jsonl"), ids=lambda case: f"{case['options_name']}-{case['model']}")
def test_multiple_choice_prompts_are_the_published_ones(case: dict[str, Any]) -> None:
    names = {
        "prompt_query": "query",
        "choice_enumeration": "letters",
        "prompt_options": "between",
        "prompt_end": "end",
    }
    settings = {names[key]: value for key, value in case["arguments"].items()}
    text = foci.multiple_choice_text(case["options"], case["permutation"], **settings)
    assert foci.in_template(TEMPLATES[case["model"]], text) == case["prompt"]
    letters = settings.get("letters", foci.LETTERS)
    assert letters[case["permutation"].index(0)] == case["gold_label"]
    assert [case["options"][index] for index in case["permutation"]] == list(case["mapping"].values())


@pytest.mark.parametrize("case", lines("prompts/yn.jsonl"), ids=lambda case: f"{case['options_name']}-{case['model']}")
def test_yes_no_prompts_are_the_published_ones(case: dict[str, Any]) -> None:
    text = foci.yes_no_text(case["options"], case["random_value"], case["arguments"].get("prompt_query"))
    assert foci.in_template(TEMPLATES[case["model"]], text) == case["prompt"]
    assert ("yes" if case["random_value"] < 0.5 else "no") == case["gold_label"]


def test_more_options_than_letters_are_refused_as_the_published_code_does() -> None:
    with pytest.raises(ValueError, match="5 options and 4 letters"):
        foci.multiple_choice_text("vwxyz", range(5))
    with pytest.raises(UsageError, match="protocol foci has four letters"):
        FociMultipleChoice().ask(*bird((*BIRDS, "Tern")), AskContext("birds", BIRDS))


@pytest.mark.parametrize("case", content("prompts/idefics2_eval_collate.json"), ids=lambda case: case["model_name"][:3])
def test_the_task_asks_what_the_published_loop_gave_to_the_processor(case: dict[str, Any]) -> None:
    """With the published permutations; the chat template around it belongs to the model."""
    template = "User: {}" if "idefics" in case["model_name"] else "{}"
    context = AskContext("birds", (), foci_template=template)
    task = FociMultipleChoice()
    rows = zip(case["batch"], case["permutations"], case["texts_given_to_processor"], case["labels"], strict=True)
    for row, order, text, letter in rows:
        shown, options = bird(tuple(row["options"]))
        asked = task.ask(shown, options, context)
        choices = tuple(options.choices[index] for index in order)
        question = Question(asked.question_id, shown, choices, order.index(0), asked.letters)
        assert task.prompt(question, context).text == text.partition("<image>")[2].partition("<end_of_utterance>")[0]
        assert question.letters[question.target or 0] == letter


@pytest.mark.parametrize("case", lines("parsing/parse.jsonl"), ids=lambda case: ascii(case["raw"])[:40])
def test_answers_are_read_as_the_published_parser_reads_them(case: dict[str, Any]) -> None:
    raw = case["raw"]
    assert foci.parse_letter(raw) == case["parsed"]
    assert foci.trimmed(raw) == case["after_idefics2_postprocess"]
    assert foci.parse_letter(foci.trimmed(raw)) == case["parsed_after_postprocess"]
    assert foci.parse_letter(raw, "ABCDEF") == case["parsed_with_enumeration_ABCDEF"]
    assert foci.parse_letter(raw, "AB") == case["parsed_with_enumeration_AB"]


def test_a_family_whose_answers_are_trimmed_says_so_and_others_are_read_as_they_are() -> None:
    response = Response("q", completion=" Answer: C\nAssistant: B")
    plain, trimming = FociMultipleChoice().bound({}), FociMultipleChoice().bound({"template": "{}", "trims": True})
    assert plain.read(response, "ABCD", BIRDS).choice is None
    assert trimming.read(response, "ABCD", BIRDS).choice == 2
    context = AskContext("birds", (), foci_template="User: {}", foci_trims=True)
    assert FociMultipleChoice().identify(context) == {"template": "User: {}", "trims": True}


def scores(task: Any, rows: list[tuple[Question, Response]]) -> dict[str, float | None]:
    accuracy, unparsed = Accuracy(), Unparsed()
    for question, response in rows:
        scored = Scored(question, response, task.judge(question, response))
        accuracy.add(scored)
        unparsed.add(scored)
    return {"accuracy": accuracy.result(), "generation_failures": unparsed.result()}


def test_multiple_choice_scores_are_the_published_ones() -> None:
    golden = content("parsing/evaluate_mc.json")
    rows = []
    for gold, raw, mapping in zip(golden["golds"], golden["raws"], golden["mappings"], strict=True):
        choices = tuple(mapping.values())
        question = Question("q#multiple-choice.0", bird()[0], choices, "ABCD".index(gold), tuple("ABCD"))
        rows.append((question, Response("q", completion=raw)))
    assert scores(FociMultipleChoice(), rows) == golden["output"]["metrics"]
    predictions = golden["output"]["predictions"]
    for (question, response), prediction in zip(rows, predictions, strict=True):
        choice = FociMultipleChoice().judge(question, response).choice
        predicted = foci.UNREAD + (response.completion or "") if choice is None else question.choices[choice]
        assert predicted == prediction["predicted"]


def test_fewer_letters_leave_more_answers_unread_as_published() -> None:
    golden = content("parsing/evaluate_mc_letters_AB.json")
    read = [foci.parse_letter(raw, "AB") for raw in golden["raws"]]
    failures = [letter.startswith(foci.UNREAD) for letter in read]
    right = [letter == gold for letter, gold in zip(read, golden["golds"], strict=True)]
    metrics = golden["output"]["metrics"]
    assert sum(failures) / len(read) == metrics["generation_failures"]
    assert sum(right) / len(read) == metrics["accuracy"]


def test_yes_no_scores_are_the_published_ones() -> None:
    golden = content("parsing/evaluate_yn.json")
    rows = [
        (
            Question("q#yes-no.0", bird()[0], ("yes", "no"), ("yes", "no").index(gold), (), "owl"),
            Response("q", completion=raw),
        )
        for gold, raw in zip(golden["golds"], golden["raws"], strict=True)
    ]
    assert scores(FociYesNo(), rows) == golden["output"]["metrics"]


@pytest.mark.parametrize(("dataset", "accuracy"), [("bird-200", 0.47963410424577146), ("car-196", 0.23865190896654645)])
def test_published_answer_files_score_exactly_what_was_published(
    reference: Path, dataset: str, accuracy: float
) -> None:
    text = gzip.decompress((reference / "rescoring" / f"{dataset}.jsonl.gz").read_bytes()).decode()
    rows = list(import_answers(read_rows(text), dataset))
    assert scores(FociMultipleChoice(), rows) == {"accuracy": accuracy, "generation_failures": 0.0}
    assert len({question.question_id for question, _ in rows}) == len(rows)


def answer_row(**changes: Any) -> dict[str, Any]:
    row = {"image": "images/1.jpg", "predicted_raw": "B", "predicted": "b", "correct": "a", "options": ["a", "b"]}
    return {**row, **changes}


def test_an_answer_file_is_read_as_json_and_as_json_lines_and_repeated_images_stay_two_questions() -> None:
    rows = [answer_row(), answer_row(predicted_raw="Bird")]
    for text in (json.dumps({"metrics": {}, "predictions": rows}), "\n".join(map(json.dumps, rows))):
        questions = [question for question, _ in import_answers(read_rows(text), "bird-200")]
        assert [question.question_id for question in questions] == [
            "bird-200/test/1.jpg#multiple-choice.0",
            "bird-200/test/1.jpg~2#multiple-choice.0",
        ]
        assert [question.target for question in questions] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predicted": "a"}, "where the published rule reads 'b'"),
        ({"correct": "c"}, "'c' is none of"),
        ({"options": ["a"]}, "has the options"),
        ({"options": None}, "lacks"),
        ({"predicted_raw": 7}, "no text"),
    ],
)
def test_a_row_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    rows = [answer_row(), answer_row(**changes)]
    with pytest.raises(DataInvalid, match=f"row 2.*{message}"):
        list(import_answers(rows, "bird-200"))


def test_a_file_that_is_no_answer_file_is_named_by_line() -> None:
    with pytest.raises(DataInvalid, match="line 2"):
        list(read_rows('{"image": "x"}\nnot json'))


PIECES = st.text(st.sampled_from(list("ABCDEabyesnoYN .:\n\u0301é")), max_size=12) | st.sampled_from(
    ["Answer: ", "Assistant:", "Answer:", "Assis", "Ans", " ", "yes", "no", "İ"]
)
TEXTS = st.lists(PIECES, max_size=4).map("".join)


@given(TEXTS, TEXTS, st.booleans(), st.sampled_from([FociMultipleChoice, FociYesNo]))
@example("ye", "Answer: s", True, FociYesNo)
@example("Answer: ", "Assistant:", True, FociMultipleChoice)
@example("Answer:  ", "C", True, FociMultipleChoice)
@example("A", "nswer: B", True, FociMultipleChoice)
def test_nothing_after_a_settled_text_changes_the_verdict(text: str, after: str, trims: bool, task: Any) -> None:
    judge = task(trims)
    letters, choices = (tuple("ABCD"), BIRDS) if task is FociMultipleChoice else ((), ("yes", "no"))
    if judge.settled(text, letters, choices):
        longer = judge.read(Response("q", completion=text + after), letters, choices)
        assert judge.read(Response("q", completion=text), letters, choices) == longer


def test_the_first_sign_settles_an_answer() -> None:
    assert FociMultipleChoice().settled("B", tuple("ABCD"), BIRDS)
    assert not FociMultipleChoice().settled("", tuple("ABCD"), BIRDS)
    assert not FociMultipleChoice(trims=True).settled("A", tuple("ABCD"), BIRDS)
    assert FociMultipleChoice(trims=True).settled("B", tuple("ABCD"), BIRDS)
    assert not FociYesNo().settled("n", (), ("yes", "no"))
    assert FociYesNo().settled("no", (), ("yes", "no"))


def test_yes_no_draws_the_truth_with_even_odds() -> None:
    task, context = FociYesNo(), AskContext("birds", BIRDS, foci_template="USER: {}")
    asked = []
    for number in range(400):
        shown = Example(f"bird-200/test/{number}.jpg", FileImage("x"), BIRDS[0], "test")
        asked.append(task.ask(shown, Options(shown.example_id, BIRDS), context))
    truths = sum(question.target == 0 for question in asked)
    assert 160 < truths < 240
    assert {question.subject for question in asked} == {BIRDS[0], BIRDS[-1]}
    assert task.prompt(asked[0], context).text.startswith("USER: Does the image show a ")
