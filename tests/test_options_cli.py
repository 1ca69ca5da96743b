"""``fgvr-bench options``: whole commands, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner, Result
from option_toys import LABELS, Pictures, draw_pictures
from toy import toy_host

import fgvr_bench.cli.options as cli
from fgvr_bench.core import options as store
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Dataset, DatasetPlugin

Run = Callable[..., Result]


class Plugin(DatasetPlugin):
    card = Pictures.card

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        return self.dataset


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pictures(tmp_path: Path, clip: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", clip=clip)


@pytest.fixture
def run(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = toy_host(datasets=[Plugin(pictures)])
    monkeypatch.setattr(cli, "host", lambda: made)
    monkeypatch.setattr(store, "host", lambda: made)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli.options, [str(each) for each in arguments], catch_exceptions=True)

    return invoke


def build(run: Run, *arguments: object) -> Path:
    done = run("build", "-d", "pictures", "--workers", 0, *arguments)
    assert done.exit_code == 0, done.output
    return Path(done.output.splitlines()[-1])


def test_build_mines_once_and_says_where_the_set_is(run: Run, tmp_path: Path) -> None:
    first = build(run)
    assert first == build(run)
    assert first.is_file()
    copy = build(run, "--out", tmp_path / "sets" / "mine.jsonl")
    assert copy.read_bytes() == first.read_bytes()
    said = run("build", "-d", "pictures", "--workers", 0).output
    assert "21 questions of pictures test, 4 choices, by clip" in said


def test_build_hands_settings_to_the_miner(run: Run) -> None:
    path = build(run, "--miner-arg", "template=a {label}", "--exact", "--k", 3, "--on-bad-image", "fail")
    inputs = json.loads(path.read_bytes().splitlines()[0])["miner_inputs"]
    assert inputs["templates"] == ["a {label}"]
    assert inputs["precision"] == "float64, every image"
    assert inputs["bad_images"] == "refused"
    assert build(run, "--miner", "random", "--seed", 5) != build(run, "--miner", "random", "--seed", 6)


def test_a_bad_image_is_told_or_fatal(run: Run, pictures: Pictures) -> None:
    Path(pictures.examples()[3].image.path).write_bytes(b"")
    done = run("build", "-d", "pictures", "--workers", 0)
    assert done.exit_code == 0
    assert "1 images cannot be read" in done.output
    assert "pictures/test/0003.png" in done.output
    failed = run("build", "-d", "pictures", "--workers", 0, "--on-bad-image", "fail")
    assert isinstance(failed.exception, FgvrError)
    assert "0003.png cannot be read: the file is empty" in str(failed.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--miner", "clop"), "no option miner 'clop'. Did you mean"),
        (("--miner-arg", "k=3"), "has no setting 'k'"),
        (("--miner", "closed", "--miner-arg", "by=sound"), "compared by 'sound'"),
        (("--miner-arg", "model=/nowhere"), "/nowhere"),
    ],
)
def test_wrong_requests_are_errors_that_say_what_to_do(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("build", "-d", "pictures", *arguments)
    assert isinstance(done.exception, FgvrError)
    assert words in str(done.exception)


@pytest.mark.parametrize("arguments", [("--k", "27"), ("--k", "1"), ("--miner-arg", "template"), ("--workers", "-1")])
def test_wrong_usage_is_click_s_own(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("build", "-d", "pictures", *arguments).exit_code == 2


def test_verify_passes_a_set_and_names_what_changed(run: Run, pictures: Pictures) -> None:
    path = build(run)
    done = run("verify", path)
    assert done.exit_code == 0, done.exception
    assert "whole: 21 rows" in done.output
    assert "fits pictures test" in done.output
    Path(pictures.examples()[0].image.path).write_bytes(b"other")
    changed = run("verify", path)
    assert isinstance(changed.exception, FgvrError)
    assert "the dataset digest was" in str(changed.exception)


def test_show_prints_some_questions(run: Run) -> None:
    done = run("show", build(run), "--examples", 5)
    assert done.exit_code == 0
    assert done.output.count("pictures/test/") == 5
    assert "Amber_moth" in done.output or "moth" in done.output


def test_show_makes_a_page_that_stands_alone(run: Run, pictures: Pictures, tmp_path: Path) -> None:
    Path(pictures.examples()[3].image.path).write_bytes(b"")
    pictures.names = ("<b>Amber</b>", *LABELS[1:])
    path = build(run)
    done = run("show", path, "--html", tmp_path / "page.html")
    assert done.exit_code == 0, done.exception
    assert "21 questions, 1 without a readable image" in done.output
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 20
    assert page.count('<li class="truth"') == 21
    assert "this image cannot be read" in page
    assert "&lt;b&gt;Amber&lt;/b&gt;" in page
    assert "<b>Amber" not in page
    assert "http" not in page


def test_compare_tells_overlap_and_difficulty(run: Run) -> None:
    one, other = build(run), build(run, "--miner", "random")
    same = run("compare", one, one)
    assert "same choices: 100.00% (in the same order: 100.00%)" in same.output
    assert "differ most" not in same.output
    differing = run("compare", one, other)
    assert differing.exit_code == 0
    assert "21 questions in both; 0 in A only, 0 in B only" in differing.output
    assert "Labels whose wrong choices differ most" in differing.output


def test_compare_counts_what_is_shared(run: Run, tmp_path: Path) -> None:
    from fgvr_bench.core.option_compare import compare_options
    from fgvr_bench.core.options import write_options
    from fgvr_bench.types import Options

    header = {"dataset": "d", "split": "test", "labels": list("abcde")}
    rows = [Options(f"d/test/{n}", tuple("abcd"), (0.3, 0.1, 0.2, 0.4), 2, -0.1) for n in range(3)]
    one = write_options(tmp_path / "1", header, rows).path
    other = write_options(
        tmp_path / "2",
        header,
        [
            rows[0],
            Options("d/test/1", tuple("adcb")),
            Options("d/test/2", tuple("abce")),
            Options("d/test/3", tuple("ab")),
        ],
    ).path
    found = compare_options(one, other)
    assert (found.questions, found.only_a, found.only_b) == (3, 0, 1)
    assert (found.same_set, found.same_order) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.shared == pytest.approx(8 / 9)
    assert [pair[1].choices for pair in found.differing] == [tuple("abce")]
    assert found.difficulty[0].first_share == 0
    assert found.difficulty[0].mean_margin == pytest.approx(-0.1)
    assert found.difficulty[1].first_share == 0
    apart = write_options(tmp_path / "3", header, [Options("d/test/9", tuple("ab"))]).path
    assert "no example in common" in str(run("compare", one, apart).exception)


def test_audit_prints_its_figures_and_writes_them_into_the_header(run: Run) -> None:
    path = build(run)
    before = run("show", path).output
    digest = json.loads(path.read_bytes().splitlines()[0])["digest"]
    assert run("audit", "--no-write", path).exit_code == 0
    assert "audit" not in json.loads(path.read_bytes().splitlines()[0])
    done = run("audit", path)
    assert done.exit_code == 0, done.exception
    assert "strongest" in done.output
    header = json.loads(path.read_bytes().splitlines()[0])
    assert header["digest"] == digest
    assert header["audit"]["chance"] == 0.25
    assert len(header["audit"]["learning_curve"]) == 6
    assert "without an image" in run("show", path).output
    assert "without an image" not in before
    assert build(run) == path  # still the set that was made from these inputs


def test_published_sets_are_part_of_the_group() -> None:
    assert {"import", "export", "fetch", "build", "verify", "show", "compare", "audit"} <= set(cli.options.commands)


@pytest.mark.parametrize("command", ["verify", "show", "audit"])
def test_a_file_that_is_no_set_is_an_error_not_a_traceback(run: Run, command: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    for path in (tmp_path / "x", tmp_path / "nothing"):
        assert isinstance(run(command, path).exception, FgvrError)
