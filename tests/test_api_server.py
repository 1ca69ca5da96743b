"""Runs against a chat-completions server on this machine that behaves, misbehaves, or goes away."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai_server import Asked, Reply, Server, free_port, knows, ranked, said, seen, serve
from test_run_story import files_of
from toy import ToyPlugin, toy_host

import fgvr_bench
import fgvr_models.api
from fgvr_bench.errors import FgvrError, ModelUnavailable

HASTE = {"retry_wait": "0.01", "retries": "3"}


def ask(server: Server | str, folder: Path, each: int = 5, args: dict[str, str] | None = None, **settings: Any) -> Any:
    """Run the toy dataset against a server; raise what keeps it from ending."""
    host = toy_host([], [ToyPlugin(each=each)])
    assert host.add(fgvr_models.api, "api").error is None
    name = server if isinstance(server, str) else server.name
    settings = {"workers": 0, "results_dir": folder, **settings}
    return fgvr_bench.evaluate(name, "toy", plugins=host, model_args={**HASTE, **(args or {})}, **settings).results[0]


def lines_of(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.folder / "responses.jsonl").read_text().splitlines()]


def once(fault: Reply, others: Callable[[Asked], Reply] = knows) -> Callable[[Asked], Reply]:
    """Answer each question badly the first time that it is asked."""
    met: set[str] = set()

    def answer(asked: Asked) -> Reply:
        key = asked.text + asked.picture_url
        if key in met:
            return others(asked)
        met.add(key)
        return fault

    return answer


# --- what is asked and what is stored ----------------------------------------------------------------


def test_picture_and_question_reach_the_server_together(tmp_path: Path) -> None:
    with serve() as server:
        result = ask(server, tmp_path)
    assert result.metrics["accuracy"] == 1.0
    assert (result.questions, result.failed) == (20, 0)
    body = server.asked[0].body
    assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]
    assert body | {"messages": None} == {
        "model": "toy-model",
        "messages": None,
        "temperature": 0,
        "seed": 0,
        "max_tokens": 64,
    }
    stored = lines_of(result)[0]
    assert (stored["stop"], stored["tokens"], stored["completion"][:13]) == ("eos", 2, "The answer is")


def test_requests_are_under_way_side_by_side_and_no_more_than_asked_for(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        while server.most_at_once < most and time.monotonic() < began + 20:
            time.sleep(0.01)  # on a busy machine the others take their time
        return Reply(knows(asked).body, wait=0.05)

    began, most = time.monotonic(), 8
    with serve(answer) as server:
        ask(server, tmp_path / "8", each=10, args={"concurrency": "8"})
        assert server.most_at_once == 8
        server.most_at_once, most = 0, 1
        ask(server, tmp_path / "1", args={"concurrency": "1"})
        assert server.most_at_once == 1


def test_concurrency_batch_size_workers_and_processes_change_no_byte_of_the_answers(tmp_path: Path) -> None:
    # The first requests are answered last, so that answers come in another order than questions went out.
    with serve(lambda asked: Reply(knows(asked).body, wait=max(0.0, 0.1 - asked.number * 0.01))) as server:
        ways: list[dict[str, Any]] = [
            {"args": {"concurrency": "1"}},
            {"args": {"concurrency": "16"}},
            {"args": {"concurrency": "3"}, "workers": 2},
            {"args": {"concurrency": "3"}, "batch_size": 7},
        ]
        runs = [ask(server, tmp_path / str(number), **way) for number, way in enumerate(ways)]
    answers = {(run.folder / "responses.jsonl").read_bytes() for run in runs}
    assert len(answers) == 1
    assert len({(run.folder / "run.json").read_bytes() for run in runs[:3]}) == 1  # another batch size, another run
    assert runs[0].metrics["accuracy"] == 1.0


def test_how_a_server_is_asked_is_no_part_of_the_identity_and_what_is_asked_is(tmp_path: Path) -> None:
    with serve() as server:
        first = ask(server, tmp_path, args={"concurrency": "2", "timeout": "9"})
        asked = len(server.asked)
        assert ask(server, tmp_path, args={"requests_per_minute": "1"}) == first
        assert len(server.asked) == asked
        others = ({"seed": "1"}, {"image_detail": "low"}, {"image_encoding": "jpeg"}, {"extra_body": '{"top_k": 1}'})
        ids = {ask(server, tmp_path, args=args).run_id for args in others}
    assert len({first.run_id, *ids}) == 5
    model = json.loads((first.folder / "run.json").read_text())["inputs"]["model"]
    assert model["server"] == server.url.removeprefix("http://")
    assert model["checkpoint"] == "toy-model"
    assert server.asked[-1].body["top_k"] == 1


def test_grey_pictures_are_sent_where_grey_pictures_are_asked_for(tmp_path: Path) -> None:
    colours = set()

    def answer(asked: Asked) -> Reply:
        colours.add(asked.picture.convert("RGB").getpixel((3, 3)))
        return Reply(said("A"))

    with serve(answer) as server:
        ask(server, tmp_path, blank_images=True)
    assert colours == {(128, 128, 128)}


def test_what_a_reasoning_model_thinks_is_no_part_of_its_answer(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        right = seen(asked)
        wrong = "ABCD"["BCDA".index(right)]
        return Reply(said(f"\n\n{right}", reasoning_content=f"The answer is {wrong}."))

    with serve(answer) as server:
        assert ask(server, tmp_path).metrics["accuracy"] == 1.0
    with serve(lambda asked: Reply(said(None, "length", reasoning_content="Hm, let me"))) as server:
        result = ask(server, tmp_path)
    assert (result.failed, result.metrics["accuracy"]) == (0, 0.0)
    assert {(line["completion"], line["stop"]) for line in lines_of(result)} == {("", "length")}


# --- log-probabilities --------------------------------------------------------------------------------


def test_letters_are_ranked_by_one_token(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        right = seen(asked)
        return Reply(ranked({"The": -0.2, f" {right}": -2.0, "x": -4.0, "ABCD"["BCDA".index(right)]: -5.0}))

    with serve(answer) as server:
        result = ask(server, tmp_path, decoding="logprob")
    body = server.asked[0].body
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert result.metrics["accuracy"] == 1.0
    assert {tuple(sorted(line["scores"])) for line in lines_of(result)} == {(-5.000001, -5.000001, -5.0, -2.0)}


def test_a_server_without_logprobs_is_told_so_with_the_way_out(tmp_path: Path) -> None:
    with serve() as server, pytest.raises(FgvrError, match=r"does not give the log-prob.*Use --decoding generate\."):
        ask(server, tmp_path, decoding="logprob")
    refusal = Reply({"error": {"message": "'logprobs' is not supported by this model"}}, 400)
    with serve(lambda _: refusal) as server, pytest.raises(FgvrError, match=r"not supported.*--decoding generate"):
        ask(server, tmp_path, decoding="logprob")


def test_a_question_whose_letters_are_not_listed_fails_and_gets_no_score(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(ranked({"The": -0.1, "I": -2.5} if asked.number == 3 else {seen(asked): -0.1}))

    with serve(answer) as server:
        result = ask(server, tmp_path, decoding="logprob", args={"concurrency": "1"})
    (failed,) = [line for line in lines_of(result) if line.get("error")]
    assert failed["error"] == "server: none of A, B, C, D is among the 2 most likely tokens that it lists"
    assert "scores" not in failed
    assert result.failed == 1


# --- faults that pass ---------------------------------------------------------------------------------

PASSING = {
    "too many requests": Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}),
    "500": Reply({"error": "oops"}, 500),
    "502 with a web page": Reply(b"<html><body>Bad gateway</body></html>", 502, {"Content-Type": "text/html"}),
    "503": Reply({"error": {"message": "Loading model", "code": 503}}, 503),
    "too slow": Reply(said("A"), wait=2.5),
    "half an answer, cut off": Reply(said("A"), sent=40),
    "half an answer, ended": Reply(b'{"choices": [{"mess'),
    "a connection that is reset": Reply(reset=True),
    "no choices": Reply({"choices": []}),
    "no message": Reply({"choices": [{"index": 0}]}),
    "an aborted answer": Reply(said("A", "abort")),
    "an error below a status of 200": Reply({"error": {"code": 502, "message": "upstream"}}),
}


@pytest.mark.parametrize("what", PASSING)
def test_a_fault_that_passes_costs_nothing(what: str, tmp_path: Path) -> None:
    with serve(once(PASSING[what])) as server:
        result = ask(server, tmp_path, each=1, args={"timeout": "2"} if what == "too slow" else None)
    assert (result.metrics["accuracy"], result.failed) == (1.0, 0)
    assert len(server.asked) == 8


@pytest.mark.parametrize("form", ["seconds", "date", "milliseconds"])
def test_retry_after_is_honoured_by_all_requests(form: str, tmp_path: Path) -> None:
    refused = threading.Event()

    def answer(asked: Asked) -> Reply:
        if refused.is_set():
            return knows(asked)
        refused.set()
        later = email.utils.formatdate(time.time() + 2, usegmt=True)
        given = {
            "seconds": ("Retry-After", "1"),
            "date": ("Retry-After", later),
            "milliseconds": ("retry-after-ms", "1000"),
        }
        return Reply({}, 429, dict([given[form]]))

    with serve(answer) as server:
        ask(server, tmp_path, each=1, args={"concurrency": "1"})
    waited = server.times[1] - server.times[0]
    assert 0.9 <= waited < 10  # a date is good to the second, and a busy machine slow


def test_a_rate_limit_spaces_requests_whatever_the_concurrency(tmp_path: Path) -> None:
    with serve() as server:
        ask(server, tmp_path, each=2, args={"requests_per_minute": "1200", "concurrency": "8"})
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert server.times[-1] - server.times[0] >= 7 * 0.05 * 0.95
    assert max(gaps) < 10  # nobody waits for a minute to pass


# --- faults that stay ---------------------------------------------------------------------------------

REFUSED = {
    "too long": ("This model's maximum context length is 512 tokens, your request has 700 input tokens.", 400),
    "too long, elsewhere": ("the request exceeds the available context size", 400),
    "a picture that it cannot read": ("cannot identify image file <_io.BytesIO object>", 400),
    "a picture that is too large": ("Request Entity Too Large", 413),
    "a picture against its rules": (
        "Your input image may contain content that is not allowed by our safety system",
        400,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_question_that_is_refused_is_one_failed_answer(what: str, tmp_path: Path) -> None:
    words, status = REFUSED[what]
    with serve(
        lambda asked: Reply({"error": {"message": words}}, status) if asked.number == 4 else knows(asked)
    ) as server:
        result = ask(server, tmp_path, args={"concurrency": "1"})
    assert (result.questions, result.failed, len(server.asked)) == (20, 1, 20)
    (failed,) = [line for line in lines_of(result) if line.get("error")]
    assert failed["error"] == f"server: {status} {words}"


def test_a_question_that_always_breaks_the_server_is_one_failed_answer(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return (
            Reply({"error": "CUDA error"}, 500) if asked.picture_url == broken and asked.text == text else knows(asked)
        )

    with serve() as server:
        ask(server, tmp_path / "whole")
        # Of a toy with four colours some questions are the same to a server; this one is asked once.
        met = Counter((asked.picture_url, asked.text) for asked in server.asked)
        broken, text = min(question for question, times in met.items() if times == 1)
    with serve(answer) as server:
        result = ask(server, tmp_path / "broken")
    same = sum(line.picture_url == broken and line.text == text for line in server.asked)
    (failed,) = [line for line in lines_of(result) if line.get("error")]
    assert "asked 4 times" in failed["error"]
    assert "500 CUDA error" in failed["error"]
    assert same == 4
    assert result.failed == 1


def test_a_server_that_breaks_on_everything_stops_the_run_and_nothing_is_kept(tmp_path: Path) -> None:
    with serve(lambda _: Reply({"error": "CUDA error"}, 500)) as server:
        with pytest.raises(FgvrError, match=r"in a row.*500 CUDA error.*None of these was kept"):
            ask(server, tmp_path)
        server.answer = knows
        result = ask(server, tmp_path)
    assert (result.failed, result.metrics["accuracy"]) == (0, 1.0)


AT_ONCE = {
    "a wrong key": (401, "Incorrect API key provided", r"refuses to answer without a key \(401\).*FGVR_API_KEY"),
    "a forbidden one": (403, "no access", r"\(403\): no access"),
    "an unknown model": (404, "The model `toy-model` does not exist.", r"does not exist\..*Did you mean toy-mode1\?"),
    "an unknown parameter": (400, "Unsupported parameter: 'seed'", r"'seed'.*extra_body="),
    "a model without eyes": (400, "At most 0 image(s) may be provided in one prompt.", r"takes no images"),
    "an empty account": (429, "You exceeded your current quota", r"account at .* is spent"),
    "another place": (307, "", r"refuses the request \(307\)"),
}


@pytest.mark.parametrize("what", AT_ONCE)
def test_what_no_patience_helps_is_an_error_at_once(what: str, tmp_path: Path) -> None:
    status, words, expected = AT_ONCE[what]
    models = {"data": [{"id": "toy-mode1", "owned_by": "somebody"}, {"id": "whisper", "owned_by": "somebody"}]}
    kind = FgvrError if status == 429 else ModelUnavailable
    answer = Reply({"error": {"message": words}}, status)
    with serve(lambda _: answer, models=models) as server, pytest.raises(kind, match=expected):
        ask(server, tmp_path, args={"concurrency": "1"})
    assert len(server.asked) == 1


def test_a_model_that_the_server_does_not_hold_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    expected = r"has no model toy-model\. Did you mean org/Toy-Model-7B\?"
    models = {"data": [{"id": "org/Toy-Model-7B", "owned_by": "vllm"}]}
    with serve(models=models) as server, pytest.raises(ModelUnavailable, match=expected):
        ask(server, tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    "listed", [Reply({}, 404), Reply({}, 500), {"data": []}, {"data": [{"id": "a", "owned_by": "x"}]}]
)
def test_a_server_that_keeps_no_such_list_is_asked_all_the_same(listed: Any, tmp_path: Path) -> None:
    with serve(models=listed) as server:
        assert ask(server, tmp_path).metrics["accuracy"] == 1.0


def test_a_web_page_is_no_answer(tmp_path: Path) -> None:
    page = Reply(b"<!doctype html><title>Welcome</title>", headers={"Content-Type": "text/html"})
    with serve(models=page) as server, pytest.raises(ModelUnavailable, match=r"web page \(Welcome\).*below /v1"):
        ask(server, tmp_path)
    with serve(lambda _: page) as server, pytest.raises(ModelUnavailable, match="web page"):
        ask(server, tmp_path)
    with (
        serve() as server,
        pytest.raises(ModelUnavailable, match=r"\(404\): Not Found\. Most servers answer below /v1"),
    ):
        ask(server.name.removesuffix("/v1"), tmp_path)


def test_a_wait_of_hours_ends_the_run_instead(tmp_path: Path) -> None:
    expected = r"asks to wait 7,200 seconds.*same command again then"
    answer = Reply({}, 429, {"Retry-After": "7200"})
    with serve(lambda _: answer) as server, pytest.raises(FgvrError, match=expected):
        ask(server, tmp_path)


# --- servers that are away ----------------------------------------------------------------------------


def test_a_server_that_is_down_at_the_start_is_named_with_what_to_type(tmp_path: Path) -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(ModelUnavailable) as told:
        ask(f"api:toy-model@http://127.0.0.1:{port}/v1", tmp_path)
    assert time.monotonic() - began < 30
    assert f"no server answers at http://127.0.0.1:{port}/v1: Connection refused." in str(told.value)
    assert f"vllm serve toy-model --port {port}" in str(told.value)


def test_a_server_that_goes_away_stops_the_run_and_the_same_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    port = free_port()
    with serve(port=port) as server:
        ask(server, tmp_path / "undisturbed", each=20)
    reached = threading.Event()

    def dies(asked: Asked) -> Reply:
        if asked.number >= 30:
            reached.set()
            return Reply(reset=True, wait=0.2)
        return knows(asked)

    def leave() -> None:
        with serve(dies, port=port):
            reached.wait(30)

    leaving = threading.Thread(target=leave)
    leaving.start()
    with pytest.raises(ModelUnavailable, match=r"no server answers at .*type the same command again"):
        ask(server, tmp_path / "disturbed", each=20, args={"concurrency": "4"})
    leaving.join()
    stored = sum(path.read_bytes().count(b'{"q":') for path in (tmp_path / "disturbed").rglob("parts/*.jsonl"))
    assert stored == 30
    with serve(port=port) as server:
        ask(server, tmp_path / "disturbed", each=20)
        assert len(server.asked) == 50
    assert files_of(tmp_path / "disturbed") == files_of(tmp_path / "undisturbed")


def test_what_is_under_way_when_the_run_stops_is_kept(tmp_path: Path) -> None:
    # It may have been paid for.
    def answer(asked: Asked) -> Reply:
        return (
            Reply({"error": {"message": "revoked"}}, 401) if asked.number == 7 else Reply(knows(asked).body, wait=0.3)
        )

    with serve(answer) as server, pytest.raises(ModelUnavailable, match="revoked"):
        ask(server, tmp_path, args={"concurrency": "8"})
    stored = sum(path.read_bytes().count(b'{"q":') for path in tmp_path.rglob("parts/*.jsonl"))
    assert stored == len(server.asked) - 1 == 7
