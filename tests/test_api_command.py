"""``fgvr-bench run --model api:...`` as a user types it: keys, kills, Ctrl-C."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai_server import Asked, Reply, Server, said, serve
from PIL import Image
from test_run_story import files_of

SECRET = "sk-geheim-0123456789"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out 60 small photographs of 3 classes, one of them damaged."""
    folder = tmp_path_factory.mktemp("photos")
    draw = random.Random(0)
    for label in ("Dunlin", "Knot", "Ruff"):
        (folder / label).mkdir()
        for number in range(20):
            picture = Image.new("RGB", (40, 30), tuple(draw.choices(range(256), k=3)))
            picture.save(folder / label / f"{number:02}.{('png', 'jpg')[number % 2]}")
    (folder / "Knot" / "07.jpg").write_bytes(b"damaged")
    return folder


def draws(asked: Asked) -> Reply:
    """Answer with a letter that follows from picture and question."""
    digest = hashlib.sha256((asked.picture_url + asked.text).encode()).digest()
    return Reply(said("ABC"[digest[0] % 3]), wait=digest[1] / 256 * 0.04)


def start(server: Server, photos: Path, results: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fgvr_bench", "run", "--model", server.name, "--dataset", f"folder:{photos}"]
    command += ["--options", "random", "--results-dir", str(results), "--model-arg", "retry_wait=0.01", *options]
    return subprocess.Popen(
        command,
        start_new_session=True,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    return process.returncode, output + errors


def stored(results: Path) -> int:
    return sum(path.read_bytes().count(b'{"q":') for path in results.rglob("parts/*.jsonl"))


def wait_for_answers(process: subprocess.Popen[str], results: Path, wanted: int) -> None:
    while process.poll() is None and stored(results) < wanted:
        time.sleep(0.005)


def test_killed_at_random_it_goes_on_to_the_same_bytes_with_any_concurrency(photos: Path, tmp_path: Path) -> None:
    with serve(draws) as server:
        code, shown = finish(start(server, photos, tmp_path / "undisturbed", "--workers", "0"))
        assert code == 0, shown
        killed = tmp_path / "killed"
        ways = [("--model-arg", "concurrency=2"), ("--workers", "1"), ("--num-processes", "2")]
        for wanted, way in zip((8, 20, 35), ways, strict=True):
            process = start(server, photos, killed, *way)
            wait_for_answers(process, killed, wanted)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        before = -1
        while before != len(server.asked) or server.at_once:  # what the killed had sent still comes in
            before = len(server.asked)
            time.sleep(0.5)
        saved = stored(killed)
        code, shown = finish(start(server, photos, killed, "--workers", "0", "--model-arg", "concurrency=3"))
        assert code == 0, shown
        assert len(server.asked) - before <= 60 - saved
    assert files_of(killed) == files_of(tmp_path / "undisturbed")
    (run_file,) = killed.rglob("run.json")
    run = json.loads(run_file.read_text())
    assert (run["questions"], run["failed"], run["complete"]) == (60, 1, True)


def test_ctrl_c_keeps_what_is_under_way_and_twice_ends_at_once(photos: Path, tmp_path: Path) -> None:
    with serve(lambda asked: Reply(said("A"), wait=0.2 if asked.number < 40 else 60)) as server:
        process = start(server, photos, tmp_path, "--workers", "0", "--model-arg", "concurrency=4")
        wait_for_answers(process, tmp_path, 4)
        process.send_signal(signal.SIGINT)
        code, shown = finish(process)
        assert code == 1
        assert "Type the same command again to go on." in shown
        assert stored(tmp_path) - len(server.asked) in {0, 1}  # the damaged picture is not sent
        process = start(server, photos, tmp_path, "--workers", "0", "--model-arg", "concurrency=8")
        wait_for_answers(process, tmp_path, 40)
        while len(server.asked) < 48:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        code, shown = finish(process)
        assert code != 0
        assert time.monotonic() - began < 50  # what is under way takes 60
        assert stored(tmp_path) >= 40


def test_a_key_reaches_the_server_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    told = f"Incorrect API key provided: {SECRET}."
    replies = {
        "answered": lambda asked: Reply(said(f"B, and your key is {SECRET}")),
        "refused": lambda asked: Reply({"error": {"message": told}}, 401),
        "failed": lambda asked: Reply({"error": {"message": f"image refused: invalid {SECRET}"}}, 400),
        "broken": lambda asked: Reply(told.encode(), 500),
    }
    shown = ""
    for what, answer in replies.items():
        with serve(answer) as server:
            process = start(
                server,
                photos,
                tmp_path / what,
                "--limit",
                "8",
                "--workers",
                "1" if what == "answered" else "0",
                "--model-arg",
                "retries=1",
                FGVR_API_KEY=SECRET,
                FGVR_CACHE=str(tmp_path / "cache"),
                HOME=str(tmp_path / "home"),
            )
            code, words = finish(process)
        shown += words
        assert code == (0 if what in {"answered", "failed"} else 1), words
        assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}
    assert "the key in FGVR_API_KEY (401): Incorrect API key provided: (key)." in shown
    forms = [SECRET.encode(), base64.b64encode(SECRET.encode()).rstrip(b"="), SECRET.encode().hex().encode()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "machine.json" for path in files)
    for path in files:
        assert not any(form in path.read_bytes() for form in forms), path
    assert SECRET not in shown


def test_a_password_in_the_url_is_refused_before_anything_is_asked_or_written(photos: Path, tmp_path: Path) -> None:
    with serve(draws) as server:
        server.url = server.url.replace("http://", f"http://me:{SECRET}@")
        code, shown = finish(start(server, photos, tmp_path))
    assert code == 2
    assert "FGVR_API_KEY" in shown
    assert SECRET not in shown
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []
