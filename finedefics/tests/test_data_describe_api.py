"""Describing images by models behind servers: a real one, and one on this machine that misbehaves or goes away."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_families
from click.testing import CliRunner, Result
from finedefics.data.commands import describe
from finedefics.data.descriptions import Descriptions, read_descriptions
from openai_server import Asked, Reply, Server, free_port, said, serve
from transformers_server import transformers_server

CLASSES = ("Arden Wainscot", "Purbeck Carpet", "Tenby Dagger")
SECRET = "sk-geheim-0123456789"
PATIENCE = ("--model-arg", "retry_wait=0.01", "--model-arg", "retries=3")


def speaks(asked: Asked) -> Reply:
    """Name two attributes, say something that hangs on picture and question, and repeat what was told."""
    if "tell them apart" in asked.text:
        return Reply(said("- ground colour\n- fringe"))
    if len(asked.turn) == 2:
        return Reply(said(f"about {hashlib.sha256((asked.picture_url + asked.text).encode()).hexdigest()[:6]}"))
    return Reply(said(" ".join(asked.text.splitlines()[1:3])))


def typed(model: str, folder: Path, *words: Any, shots: int = 2, agreed: bool = True) -> Result:
    """Carry out ``describe`` on three classes of moth-24; the file is ``d.jsonl``."""
    folder.mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    given = ["-d", "moth-24", "-m", model, "--classes", folder / "classes.txt", "--shots", shots, "--workers", 0]
    given += ["--out", folder / "d.jsonl", *(["--yes"] if agreed else []), *words]
    return CliRunner().invoke(describe, [str(each) for each in given])


def described(model: str, folder: Path, *words: Any, **more: Any) -> Descriptions:
    done = typed(model, folder, *words, **more)
    assert done.exit_code == 0, (done.output, done.exception)
    return read_descriptions(folder / "d.jsonl")


def new_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    monkeypatch.setenv("FGVR_CACHE", str(folder))
    return folder


def test_a_model_behind_transformers_serve_describes_as_the_same_model_does_here(tmp_path: Path) -> None:
    checkpoint = tiny_families.llava(tmp_path / "tiny-llava")
    (tmp_path / "a.txt").write_text("fringe\nground colour\n")
    given: list[Any] = ["--attributes", tmp_path / "a.txt"]
    local = ["--device", "cpu", "--dtype", "float32"]
    alike = ["--batch-size", 1, "--model-arg", "image_backend=pil"]
    here = described(f"hf:{checkpoint}", tmp_path / "here", *given, *local, *alike)
    (tmp_path / "server").mkdir()
    with transformers_server(tmp_path / "server") as url:
        served = described(f"api:{checkpoint}@{url}", tmp_path / "served", *given)
        # One step here, the other there; precision is that of the model which is loaded here.
        mixed = described(
            f"hf:{checkpoint}", tmp_path / "mixed", *given, *local, *alike, "--summary-model", f"api:{checkpoint}@{url}"
        )
    assert len({row.description for row in here.rows}) == 6
    assert served.rows == here.rows == mixed.rows
    assert mixed.header["models"]["read"]["dtype"] == "float32"
    assert mixed.header["models"]["describe"]["engine"] == "openai-api"


def test_precision_is_refused_where_every_step_is_answered_by_a_server(tmp_path: Path) -> None:
    with serve(speaks) as server:
        refused = typed(server.name, tmp_path, "--dtype", "float32")
    assert "--dtype is for models that are loaded here" in str(refused.exception)
    assert server.asked == []


def test_pictures_go_out_with_the_reading_step_alone_and_names_with_the_first(tmp_path: Path) -> None:
    with serve(speaks) as server:
        made = described(server.name, tmp_path)
    assert {len(asked.turn) for asked in server.asked} == {1, 2}
    for asked in server.asked:
        assert (len(asked.turn) == 2) is ("What is its" in asked.text)
        named = any(label in json.dumps(asked.body) for label in CLASSES)
        assert named is ("tell them apart" in asked.text)
    assert {asked.body["max_tokens"] for asked in server.asked} == {256, 48, 128}
    assert len(server.asked) == 1 + 12 + 6
    assert len(made.rows) == 6
    for row in made.rows:
        assert row.description == f"ground colour: {row.attributes['ground colour']} fringe: {row.attributes['fringe']}"


def test_a_key_reaches_the_server_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVR_API_KEY", SECRET)
    new_cache(monkeypatch, tmp_path / "cache")
    with serve(
        lambda asked: Reply(said(f"{speaks(asked).body['choices'][0]['message']['content']} {SECRET}"))
    ) as server:
        done = typed(server.name, tmp_path)
    assert done.exit_code == 0, done.output
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "answers.jsonl" for path in files)
    assert SECRET not in done.output
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def once(fault: Reply) -> Callable[[Asked], Reply]:
    """Answer each question badly the first time that it is asked."""
    met: set[str] = set()

    def answer(asked: Asked) -> Reply:
        body = json.dumps(asked.body)
        if body in met:
            return speaks(asked)
        met.add(body)
        return fault

    return answer


def test_faults_that_pass_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()  # the server's address stands in the file
    files = set()
    faults = {
        "none": speaks,
        "too many": once(Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"})),
        "broken": once(Reply({"error": "oops"}, 500)),
        "half": once(Reply(said("fringe"), sent=40)),
        "reset": once(Reply(reset=True)),
    }
    for name, answer in faults.items():
        new_cache(monkeypatch, tmp_path / name / "cache")
        with serve(answer, port=port) as server:
            described(server.name, tmp_path / name, *PATIENCE, shots=1)
        assert len(server.asked) == 10 * (1 if name == "none" else 2)
        files.add((tmp_path / name / "d.jsonl").read_bytes())
    assert len(files) == 1


def test_a_server_that_goes_away_costs_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with serve(speaks, port=port) as server:
        described(server.name, tmp_path / "undisturbed")
    new_cache(monkeypatch, tmp_path / "cache")
    gone = threading.Event()

    def dies(asked: Asked) -> Reply:
        if asked.number >= 8:
            gone.set()
            return Reply(reset=True, wait=0.2)
        return speaks(asked)

    def leave() -> None:
        with serve(dies, port=port):
            gone.wait(30)

    leaving = threading.Thread(target=leave)
    leaving.start()
    lost = typed(server.name, tmp_path / "disturbed", *PATIENCE, "--model-arg", "concurrency=2")
    leaving.join()
    assert "no server answers at" in str(lost.exception)
    assert "type the same command again" in str(lost.exception)
    assert not (tmp_path / "disturbed" / "d.jsonl").exists()
    with serve(speaks, port=port) as server:
        described(server.name, tmp_path / "disturbed")
    assert len(server.asked) == 19 - 8
    assert (tmp_path / "disturbed" / "d.jsonl").read_bytes() == (tmp_path / "undisturbed" / "d.jsonl").read_bytes()


def test_a_refused_picture_is_named_as_missing_and_asked_again_on_demand(tmp_path: Path) -> None:
    with serve(speaks) as server:
        described(server.name, tmp_path / "first", shots=1)
        pictures = list(dict.fromkeys(asked.picture_url for asked in server.asked if len(asked.turn) == 2))
        server.answer = lambda asked: (
            Reply({"error": {"message": "cannot identify image file"}}, 400)
            if len(asked.turn) == 2 and asked.picture_url == pictures[0]
            else speaks(asked)
        )
        words = ("--model-arg", "seed=1")  # another question to the server, so nothing of before counts
        done = typed(server.name, tmp_path / "second", *words, shots=1)
        assert "2 of 6 answers failed (read), the first with: server: 400 cannot identify image file" in done.output
        made = read_descriptions(tmp_path / "second" / "d.jsonl")
        assert len(made.rows) == 2
        (missing,) = made.header["missing"]
        server.answer, before = speaks, len(server.asked)
        again = described(server.name, tmp_path / "second", *words, "--retry-failed", shots=1)
        assert len(again.rows) == 3
        assert missing in {row.example_id for row in again.rows}
        asked = [each for each in server.asked[before:] if len(each.turn) == 2]
        assert [each.picture_url for each in asked] == [pictures[0]] * 2


def test_the_estimate_is_timed_with_as_many_requests_as_are_under_way_at_once(tmp_path: Path) -> None:
    spent: list[float] = []

    def slowly(asked: Asked) -> Reply:
        began = time.monotonic()
        while len(asked.turn) == 2 and server.most_at_once < 6 and time.monotonic() < began + 20:
            time.sleep(0.01)  # on a busy machine the others take their time
        spent.append(time.monotonic() - began + 0.2)
        return Reply(speaks(asked).body, wait=0.2)

    words = ("--sample", 1, "--model-arg", "concurrency=6", "--dry-run")
    with serve(slowly) as server:
        stopped = typed(server.name, tmp_path, *words, shots=20, agreed=False)
    assert stopped.exit_code == 0, stopped.output
    assert sum(len(asked.turn) == 2 for asked in server.asked) == 8  # 6 and some that stand ready
    assert server.most_at_once == 6
    reading = next(line for line in stopped.output.splitlines() if line.startswith("read"))
    assert "112 " in reading  # of 120
    minutes, seconds = map(int, reading.rpartition("about 0:")[2].split(":"))
    assert 60 * minutes + seconds < 112 * max(spent) / 2  # one after the other would take twice that


def test_a_server_that_is_not_there_is_named_with_what_to_type(tmp_path: Path) -> None:
    missing = Server(url=f"http://127.0.0.1:{free_port()}/v1")
    done = typed(missing.name, tmp_path)
    assert f"no server answers at {missing.url}" in str(done.exception)
    assert "vllm serve toy-model" in str(done.exception)
