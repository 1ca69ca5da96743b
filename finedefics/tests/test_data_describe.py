"""Describing images: three steps by any model, killed and resumed, from metadata, and what is wrong with a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tiny_families
from click.testing import CliRunner, Result
from finedefics.data import commands
from finedefics.data.describing import DescribeSettings, describe
from finedefics.data.descriptions import read_descriptions
from finedefics.data.outlook import Cost
from finedefics.data.selecting import Wanted

from fgvr_bench.core.host import Host
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError, FormatUnknown, UsageError
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import NoImage, Prompt, Response, Stop
from fgvr_datasets import moth_24

CLASSES = ("Arden Wainscot", "Purbeck Carpet", "Tenby Dagger")


@dataclass
class Speaker(Model):
    """Names two attributes, sees a colour and repeats what it was told."""

    batch_size: int = 4
    pause: float = 0.0
    silent_about: str = ""
    fails_on: str = "nothing"
    prompts: list[Prompt] = field(default_factory=list)

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        time.sleep(self.pause)
        self.prompts += prompts
        if any(self.fails_on in prompt.question_id for prompt in prompts):
            raise RuntimeError("no word comes")
        return [self._one(prompt, image) for prompt, image in zip(prompts, batch, strict=True)]

    def _one(self, prompt: Prompt, image: Any) -> Response:
        if "#attributes" in prompt.question_id:
            text = "1. ground colour\n2. fringe"
        elif "#read" in prompt.question_id:
            text = f"about {image.resize((1, 1)).getpixel((0, 0))[0]}\n"
        else:
            text = " ".join(prompt.text.splitlines()[1:3])
        if self.silent_about and self.silent_about in prompt.question_id:
            text = ""
        return Response(prompt.question_id, text, stop=Stop.EOS, tokens=len(text.split()))


class SpeakerPlugin(ModelPlugin):
    card = ModelCard("speaker", "Speaks", decodings=("generate",))

    def __init__(self, model: Speaker, name: str = "speaker") -> None:
        self.card = ModelCard(name, "Speaks", decodings=("generate",))
        self.model = model

    def identify(self, settings: ModelSettings) -> Mapping[str, Any]:
        return {"speaker": self.card.name}

    def load(self, settings: ModelSettings) -> Model:
        return self.model


def host_with(*models: SpeakerPlugin) -> Host:
    host = Host()
    assert host.add(moth_24, "moth-24").error is None
    for model in models:
        host.models.add(model, "this test")
    return host


def settings(folder: Path, **more: Any) -> DescribeSettings:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    wanted = more.pop("wanted", Wanted(classes=str(folder / "classes.txt"), shots=3))
    given = {"dataset": "moth-24", "model": "speaker", "out": folder / "d.jsonl", "workers": 0, "wanted": wanted}
    return DescribeSettings(**{**given, **more})


def test_three_steps_describe_every_chosen_image(tmp_path: Path) -> None:
    speaker = Speaker()
    made = describe(host_with(SpeakerPlugin(speaker)), settings(tmp_path), Watcher())
    assert made is not None
    steps = [prompt.question_id.partition("#")[2].partition(".")[0] for prompt in speaker.prompts]
    assert (steps.count("attributes"), steps.count("read"), steps.count("describe")) == (1, 18, 9)
    read = read_descriptions(tmp_path / "d.jsonl")
    assert {row.label for row in read.rows} == set(CLASSES)
    first = read.rows[0]
    assert list(first.attributes) == ["fringe", "ground colour"]
    assert (
        first.description == f"ground colour: {first.attributes['ground colour']} fringe: {first.attributes['fringe']}"
    )
    assert read.header["attributes"] == {"moths": ["ground colour", "fringe"]}
    assert read.header["missing"] == []


def test_only_the_reader_is_shown_pictures_and_nobody_is_told_the_name(tmp_path: Path) -> None:
    speaker = Speaker()
    describe(host_with(SpeakerPlugin(speaker)), settings(tmp_path), Watcher())
    for prompt in speaker.prompts:
        assert isinstance(prompt.image, NoImage) is ("#read" not in prompt.question_id)
        if "#attributes" not in prompt.question_id:
            assert not any(label in prompt.text for label in CLASSES)


def test_each_step_can_have_a_model_of_its_own(tmp_path: Path) -> None:
    speakers = {name: Speaker() for name in ("speaker", "namer", "reader", "poet")}
    host = host_with(*(SpeakerPlugin(model, name) for name, model in speakers.items()))
    own = {"attributes": "namer", "read": "reader", "describe": "poet"}
    made = describe(host, settings(tmp_path, models=own), Watcher())
    assert made is not None
    assert [len(model.prompts) for model in speakers.values()] == [0, 1, 18, 9]
    assert made.header["models"]["read"]["name"] == "reader"


def test_the_second_time_nothing_is_asked_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    describe(host_with(SpeakerPlugin(Speaker())), settings(tmp_path / "a"), Watcher())
    speaker = Speaker()
    describe(host_with(SpeakerPlugin(speaker)), settings(tmp_path / "b"), Watcher())
    assert speaker.prompts == []
    assert (tmp_path / "a" / "d.jsonl").read_bytes() == (tmp_path / "b" / "d.jsonl").read_bytes()


def test_fewer_shots_describe_a_part_of_the_same_images(tmp_path: Path) -> None:
    ids = {}
    for shots in (2, 5):
        wanted = Wanted(classes=None, shots=shots, seed=3)
        path = str(tmp_path / f"{shots}.jsonl")
        done = invoke("describe", "-d", "moth-24", "--from-metadata", "--shots", shots, "--seed", 3, "--out", path)
        assert done.exit_code == 0, done.output
        ids[shots] = {row.example_id for row in read_descriptions(Path(path)).rows}
        assert len(ids[shots]) == 24 * (wanted.shots or 0)
    assert ids[2] < ids[5]


def test_costs_are_shown_before_anything_is_asked(tmp_path: Path) -> None:
    speaker = Speaker()
    shown: list[Sequence[Cost]] = []

    def no(costs: Sequence[Cost]) -> bool:
        shown.append(costs)
        return False

    host = host_with(SpeakerPlugin(speaker))
    assert describe(host, settings(tmp_path), Watcher(), no) is None
    assert speaker.prompts == []
    assert [(cost.step, cost.requests, cost.at_most) for cost in shown[0]] == [
        ("attributes", 1, False),
        ("read", 9 * 8, True),
        ("describe", 9, True),
    ]
    assert describe(host, settings(tmp_path), Watcher(), no, sample=2) is None
    assert len(speaker.prompts) == 1 + 8
    reading = shown[1][1]
    assert (reading.requests, reading.open, reading.images, reading.at_most) == (18, 10, 10, False)
    assert reading.rate is not None
    assert not (tmp_path / "d.jsonl").exists()
    describe(host, settings(tmp_path), Watcher())
    assert len(speaker.prompts) == 1 + 18 + 9  # the sample's answers counted
    assert describe(host, settings(tmp_path), Watcher(), no) is None
    assert [cost.open for cost in shown[2]] == [0, 0, 0]


def test_images_that_were_not_described_are_named_and_failures_asked_again(tmp_path: Path) -> None:
    lost = "moth-24/train/tenby-dagger/00090"
    broken = Speaker(fails_on=lost, silent_about="arden-wainscot")
    made = describe(host_with(SpeakerPlugin(broken)), settings(tmp_path), Watcher())
    assert made is not None
    assert {row.label for row in made.rows} == {"Purbeck Carpet", "Tenby Dagger"}
    assert made.header["missing"][-1] == lost
    assert "4 images have no description: moth-24/train/arden" in made.cautions()[0]
    mended = Speaker(silent_about="arden-wainscot")
    again = describe(host_with(SpeakerPlugin(mended)), settings(tmp_path, retry_failed=True), Watcher())
    assert again is not None
    assert lost in {row.example_id for row in again.rows}
    assert sum("#read" in prompt.question_id for prompt in mended.prompts) <= 8  # the batches that held failures


def test_attributes_can_be_given_and_differ_by_genus(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fringe\n[Footman]\nhindwings\nabdomen\n")
    speaker = Speaker()
    wanted = Wanted(shots=1)
    given = settings(tmp_path, attributes=tmp_path / "a.txt", by_taxonomy=True, wanted=wanted)
    made = describe(host_with(SpeakerPlugin(speaker)), given, Watcher())
    assert made is not None
    assert not any("#attributes" in prompt.question_id for prompt in speaker.prompts)
    counts = {row.label: len(row.attributes) for row in made.rows}
    assert {label for label, count in counts.items() if count == 2} == {
        label for label in counts if label.endswith("Footman")
    }
    assert "one of many Footman moths" in next(p.text for p in speaker.prompts if "skye-footman" in p.question_id)


SLOWLY = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import test_data_describe as story
host = story.host_with(story.SpeakerPlugin(story.Speaker(pause=0.04)))
wanted = story.Wanted(shots=3)
story.describe(host, story.settings(Path(sys.argv[1]), wanted=wanted), story.Watcher())
"""


def test_killed_and_resumed_it_writes_the_same_bytes(tmp_path: Path) -> None:
    code = SLOWLY.format(paths=[str(Path(__file__).parent), *sys.path])

    def run(name: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "FGVR_CACHE": str(tmp_path / name / "cache")}
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)], env=environment)

    assert run("calm").wait() == 0
    for moment in (0.2, 0.4):
        killed = run("killed")
        deadline = time.monotonic() + 120
        while not list((tmp_path / "killed").rglob("inquiries/*/*/parts/0.jsonl")):
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moment)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "d.jsonl").exists()
    assert run("killed").wait() == 0
    assert (tmp_path / "killed" / "d.jsonl").read_bytes() == (tmp_path / "calm" / "d.jsonl").read_bytes()


def invoke(command: str, *arguments: object) -> Result:
    chosen = {"describe": commands.describe, "build-data": commands.build_data}[command]
    return CliRunner().invoke(chosen, [str(each) for each in arguments])


def test_a_real_tiny_idefics2_reads_and_sums_up(tmp_path: Path) -> None:
    checkpoint = tiny_families.idefics2(tmp_path / "tiny")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    (tmp_path / "a.txt").write_text("fringe\n")
    given = ["-d", "moth-24", "-m", f"hf:{checkpoint}", "--device", "cpu", "--dtype", "float64", "--shots", 1]
    given += ["--classes", tmp_path / "classes.txt", "--attributes", tmp_path / "a.txt", "--workers", 0]
    refused = invoke("describe", *given, "--out", tmp_path / "d.jsonl", "--sample", 0)
    assert isinstance(refused.exception, UsageError)
    assert "--yes" in str(refused.exception)
    assert refused.output.splitlines()[2].split()[:3] == ["read", f"hf:{checkpoint}", "3"]
    done = invoke("describe", *given, "--out", tmp_path / "d.jsonl", "--yes")
    assert done.exit_code == 0, done.output
    read = read_descriptions(tmp_path / "d.jsonl")
    assert len(read.rows) == 3
    assert read.header["models"]["read"]["dtype"] == "float64"


def test_a_dataset_that_describes_itself_needs_no_model(tmp_path: Path) -> None:
    dataset = moth_24.Moth24()
    for form in ("class", "image"):
        out = tmp_path / f"{form}.jsonl"
        done = invoke("describe", "-d", "moth-24", "--from-metadata", form, "--shots", 1, "--out", out)
        assert done.exit_code == 0, done.output
        assert "Caution" not in done.output or form == "image"
        for row in read_descriptions(out).rows:
            assert set(row.attributes) == set(moth_24.VALUES)  # the genus is no attribute
            if form == "class":
                assert row.description == dataset.description(row.label)
            else:
                assert f"wing: {row.attributes['wing']}" in row.description


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["-d", "moth-23", "--from-metadata"], FgvrError, "Did you mean moth-24"),
        (["-d", "moth-24", "--from-metadata", "--split", "test"], UsageError, "nothing is trained on the test split"),
        (["-d", "moth-24", "--from-metadata", "--split", "trian"], UsageError, "no split 'trian'"),
        (["-d", "moth-24", "--from-metadata", "--shots", "101"], UsageError, "Give --shots 100 or fewer"),
        (["-d", "moth-24", "-m", "idefix", "--yes"], FgvrError, "Did you mean idefics"),
        (["-d", "moth-24", "-m", "moth-clip", "--yes"], UsageError, "wants words"),
        (["-d", "moth-24", "-m", "random", "--yes"], FgvrError, "the model answered: A"),
        (["-d", "moth-24", "-m", "random", "--yes", "--classes", "nothing"], UsageError, "no subset 'nothing'"),
        (["-d", "moth-24", "-m", "random", "--yes", "--prompts", "."], FgvrError, "no step reads"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(
    tmp_path: Path, arguments: list[str], error: type[FgvrError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reed.txt").write_text("{attribute}")
    done = invoke("describe", *arguments, "--out", "d.jsonl")
    assert isinstance(done.exception, error), done.output
    assert says in str(done.exception)
    assert not Path("d.jsonl").exists()


def test_a_misspelt_class_is_met_with_the_near_names(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("Arden Wainscott\n")
    done = invoke("describe", "-d", "moth-24", "--from-metadata", "--classes", tmp_path / "classes.txt", "--out", "d")
    assert "classes.txt, line 1: 'Arden Wainscott'" in str(done.exception)
    assert "Did you mean Arden Wainscot" in str(done.exception)


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "thesis.txt"
    out.write_text("years of work\n")
    done = invoke("describe", "-d", "moth-24", "--from-metadata", "--out", out)
    assert "was left as it is" in str(done.exception)
    assert out.read_text() == "years of work\n"


def good(path: Path) -> list[dict[str, Any]]:
    invoke("describe", "-d", "moth-24", "--from-metadata", "--shots", 1, "--out", path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def damaged(lines: list[dict[str, Any]], kind: str) -> str:
    header, first, second, *rest = lines
    first, second = dict(first), dict(second)
    if kind == "empty":
        first["description"] = " \n "
    elif kind == "twice":
        second["example_id"] = first["example_id"]
    elif kind == "no label":
        del first["label"]
    elif kind == "number":
        first["attributes"] = {"wing": 3}
    elif kind == "no digest":
        header = {name: value for name, value in header.items() if name != "dataset_digest"}
    elif kind == "newer":
        header = {**header, "version": 99}
    text = "\n".join(json.dumps(line) for line in (header, first, second, *rest))
    return text[:-20] if kind == "cut" else "" if kind == "nothing" else text


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("empty", DataInvalid, "line 2: the description of moth-24/train/"),
        ("twice", DataInvalid, "twice"),
        ("no label", DataInvalid, "line 2"),
        ("number", DataInvalid, "line 2"),
        ("no digest", DataInvalid, "names no dataset_digest"),
        ("newer", FormatUnknown, "version 99"),
        ("cut", DataInvalid, "line 25: no JSON"),
        ("nothing", DataInvalid, "line 1"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, kind: str, error: type[FgvrError], says: str) -> None:
    path = tmp_path / "d.jsonl"
    text = damaged(good(path), kind)
    path.write_text(text)
    with pytest.raises(error) as raised:
        read_descriptions(path)
    assert says in str(raised.value)
    assert str(path) in str(raised.value)
    with pytest.raises(DataNotFound):
        read_descriptions(tmp_path / "absent.jsonl")
