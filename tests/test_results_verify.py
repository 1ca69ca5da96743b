"""``results verify``: whatever was changed in a run is found, and what cannot be checked is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import lay_out, option_cache, published_plan
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.cli.results import results
from fgvr_bench.core.host import Host, host
from fgvr_bench.core.known import Knowledge
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.rescoring import rescore, write_scores
from fgvr_bench.core.run_folder import RunFolder, file_digest, run_id
from fgvr_bench.core.subset import import_subset
from fgvr_bench.core.verify_runs import Verified, Verifier
from fgvr_bench.errors import DataInvalid, FgvrError

RESULTS = Path(__file__).resolve().parent.parent / "results"


def verified(folder: Path, plugins: Host | None = None, published: bool = False) -> list[Verified]:
    plugins = plugins or toy_host([], [ToyPlugin()])
    return Verifier(plugins, Knowledge(plugins, obtain=published), published).verify([folder])


def problem(folder: Path, plugins: Host | None = None) -> str:
    (found,) = verified(folder, plugins)
    assert found.state == "wrong", found
    return " ".join(found.problems)


def forged(folder: Path, change: Callable[[dict[str, Any], list[dict[str, Any]]], object]) -> Path:
    """Change a run as somebody would who makes every digest and figure anew."""
    content = json.loads((folder / "run.json").read_text())
    lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    change(content, lines)
    text = [json.dumps(line, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n" for line in lines]
    (folder / "responses.jsonl").write_text("".join(text))
    digests = {"responses_sha256": file_digest(folder / "responses.jsonl"), "run_id": run_id(content["inputs"])}
    RunFolder(folder).write_run({**content, **digests, "questions": len(lines)})
    write_scores(rescore(toy_host(), folder))
    if folder.name != digests["run_id"]:
        folder = folder.rename(folder.parent / digests["run_id"])
    return folder


def invoke(*words: object) -> Result:
    return CliRunner().invoke(results, ["verify", *map(str, words)])


def test_the_runs_of_this_repository_are_what_they_claim_to_be() -> None:
    """Their dataset draws itself; its options are mined where ``--published`` asks for it (``make results``)."""
    done = invoke(RESULTS)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == len([*RESULTS.rglob("run.json")]) > 0
    for line in lines:
        assert line.startswith("ok ")
        assert "not checked" not in line or line.endswith(
            "not checked: options (fgvr-bench options build --dataset moth-24 --miner clip)"
        )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"task": "yes-no"},
        {"task": "yes-no", "permutations": 2},
        {"permutations": "cyclic", "seed": 3},
        {"task": "open-ended"},
        {"protocol": "foci"},
        {"task": "multiple-choice-unshuffled"},
        {"blank_images": True},
    ],
    ids=str,
)
def test_a_run_is_what_it_claims_however_it_was_asked(tmp_path: Path, asked: dict[str, Any]) -> None:
    play(tmp_path, ToyModel("says-a", Script("always-a")), **asked)
    (found,) = verified(tmp_path)
    assert (found.state, found.unchecked) == ("ok", ()), found


def test_a_subset_is_held_against_the_set_and_its_membership_is_said_to_be_unchecked(tmp_path: Path) -> None:
    dataset = ToyPlugin()
    (tmp_path / "seen.txt").write_text("Amber\nSky_blue\n")
    import_subset(tmp_path / "seen.txt", dataset.dataset, "test", "seen")
    play(tmp_path / "results", dataset=dataset, subset="seen")
    (found,) = verified(tmp_path / "results")
    assert found.state == "ok", found
    assert "which questions belong to subset seen" in found.unchecked


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that is never changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FGVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        play(folder := tmp_path_factory.mktemp("whole"), ToyModel("says-a", Script("always-a")))
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(["run.json", "responses.jsonl"]), place=st.floats(0, 1, exclude_max=True), data=st.data())
def test_every_changed_byte_is_found(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, file: str, place: float, data: st.DataObject
) -> None:
    copy = tmp_path_factory.mktemp("changed")
    shutil.copytree(whole, copy, dirs_exist_ok=True)
    (path,) = copy.rglob(file)
    raw = bytearray(path.read_bytes())
    at = int(place * len(raw))
    kind = data.draw(st.sampled_from(["changed", "dropped", "added"]))
    byte = data.draw(st.integers(0, 255).filter(lambda value: kind != "changed" or value != raw[at]))
    raw[at : at + (kind != "added")] = b"" if kind == "dropped" else bytes([byte])
    path.write_bytes(raw)
    assert problem(copy)


@pytest.mark.parametrize("file", ["run.json", "responses.jsonl"])
def test_a_file_that_is_cut_short_or_gone_is_found(tmp_path: Path, file: str) -> None:
    folder = play(tmp_path).results[0].folder
    raw = (folder / file).read_bytes()
    (folder / file).write_bytes(raw[: len(raw) // 2])
    assert problem(tmp_path)
    (folder / file).unlink()
    if file == "run.json":
        with pytest.raises(FgvrError, match="there is no run below"):
            verified(tmp_path)
    else:
        assert "cannot be read" in problem(tmp_path)


def test_a_question_left_out_is_found_though_all_digests_are_made_anew(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    forged(folder, lambda content, lines: lines.pop())
    assert "39 of 40 questions" in problem(tmp_path)


def test_a_question_given_twice_is_found(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    forged(folder, lambda content, lines: lines.insert(5, lines[4]))
    assert "is there twice" in problem(tmp_path)


def test_a_missing_order_of_a_question_is_found(tmp_path: Path) -> None:
    folder = play(tmp_path, permutations="cyclic").results[0].folder
    forged(folder, lambda content, lines: lines.pop(6))
    assert "one is missing" in problem(tmp_path)


def retarget(content: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """Take what the model said for right."""
    for line in lines:
        line["target"] = 0
        line["label"] = line["choices"][0]


def test_other_right_answers_are_found_with_and_without_the_dataset(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    forged(folder, retarget)
    assert "the right answer is 'Amber'" in problem(tmp_path)
    assert "has the target 0; its task gives" in problem(tmp_path, toy_host()), "the order tells where the truth stands"


def test_a_target_beside_its_label_is_found_without_the_dataset(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    forged(folder, lambda content, lines: [line.update(target=0) for line in lines])
    assert "has the target 0" in problem(tmp_path, toy_host())


def test_a_yes_taken_for_right_about_a_wrong_label_is_found_without_the_dataset(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a")), task="yes-no").results[0].folder
    forged(folder, lambda content, lines: [line.update(target=0) for line in lines])
    assert "takes the wrong answer for right" in problem(tmp_path, toy_host())


def test_an_option_set_of_one_s_own_is_told_from_the_dataset_s(tmp_path: Path) -> None:
    """Easier questions under the name of the dataset's set: their digest is another."""
    folder = play(tmp_path).results[0].folder

    def easier(content: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        content["inputs"]["options"]["digest"] = "e" * 64

    forged(folder, easier)
    assert "its option set is not the option set of toy" in problem(tmp_path)
    assert "do not show the options whose digest" in problem(tmp_path, toy_host())


def test_the_order_of_choices_follows_from_the_seed_alone(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder

    def turned(content: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        lines[0]["choices"].reverse()
        lines[0]["target"] = 3 - lines[0]["target"]

    forged(folder, turned)
    assert "the option set of toy gives" in problem(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"main_metric": "top-answer"}, "headed by its top-answer"),
        ({"labels": ["Amber", "Brick_red", "Moss_green", "Sky_blue"]}, "labels are not those"),
        ({"note": "trust me"}, "does not know: note"),
        ({"positions": {}}, "counts by letter"),
        ({"questions": 39}, "claims 39 answers"),
        ({"metrics": {"accuracy": 0.999}}, "figures that its responses do not give"),
        ({"model": "gpt"}, "its inputs name"),
    ],
    ids=str,
)
def test_a_claim_that_does_not_come_out_is_named_though_its_digest_is_made_anew(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = play(tmp_path).results[0].folder
    content = json.loads((folder / "run.json").read_text())
    RunFolder(folder).write_run({**content, **change})
    assert words in problem(tmp_path)


def test_a_model_that_was_tuned_is_not_zero_shot_because_its_run_says_so(tmp_path: Path) -> None:
    model = ToyModel()
    folder = play(tmp_path, model).results[0].folder
    content = json.loads((folder / "run.json").read_text())
    RunFolder(folder).write_run({**content, "card": {**content["card"], "exposure": "tuned"}})
    assert "the model's plugin says zero-shot" in problem(tmp_path, toy_host([model], [ToyPlugin()]))
    assert verified(tmp_path)[0].state == "ok", "without the plugin nobody can say"


def test_what_is_not_on_this_machine_is_said(tmp_path: Path) -> None:
    play(tmp_path)
    (found,) = verified(tmp_path, toy_host())
    assert found.state == "ok"
    assert found.unchecked == ("labels, options and right answers (no plugin here has a dataset toy)",)
    (found,) = verified(tmp_path, toy_host(), published=True)
    assert "could not be held against the option set of toy" in found.problems[0]


def test_an_option_set_that_is_not_mined_here_is_mined_where_the_dataset_s_own_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "results")
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path / "other cache"))
    (found,) = verified(tmp_path / "results")
    assert found.unchecked == ("options (fgvr-bench options build --dataset toy --miner random)",)
    (found,) = verified(tmp_path / "results", published=True)
    assert (found.state, found.unchecked) == ("ok", ())


def test_unfinished_runs_are_listed_and_not_called_wrong(tmp_path: Path) -> None:
    play(tmp_path, limit=8)
    done = invoke(tmp_path)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("unfinished ")


def test_strange_files_links_and_places_are_named(tmp_path: Path) -> None:
    folder = play(tmp_path / "results").results[0].folder
    (folder / "run.sh").write_text("rm")
    assert "run.sh is no file of a run" in problem(tmp_path)
    (folder / "run.sh").unlink()
    shutil.move(folder / "responses.jsonl", tmp_path / "elsewhere")
    (folder / "responses.jsonl").symlink_to(tmp_path / "elsewhere")
    assert "responses.jsonl is no file of a run" in problem(tmp_path)
    (folder / "responses.jsonl").unlink()
    shutil.move(tmp_path / "elsewhere", folder / "responses.jsonl")
    moved = folder.rename(tmp_path / "results" / "mine")
    assert "does not lie in" in problem(tmp_path / "results")
    assert verified(moved)[0].state == "ok", "a single run may be looked at anywhere"


def test_runs_of_one_id_with_other_answers_are_both_named(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    other = tmp_path / "b" / folder.relative_to(tmp_path / "a")
    shutil.copytree(folder, other)
    forged(other, lambda content, lines: lines[0].update(completion="C"))
    found = verified(tmp_path)
    assert [each.state for each in found] == ["wrong", "wrong"]
    assert "claim the id" in found[0].problems[0]


def test_writing_scores_does_not_hide_what_else_was_changed(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"exposure": "zero-shot"', '"exposure": "tuned"'))
    with pytest.raises(DataInvalid, match="not in its figures alone"):
        write_scores(rescore(toy_host(), folder))


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"format": "fgvr-bench/run", "version": 2}', b"\xff\xfe", b"null"])
def test_whatever_stands_in_run_json_costs_one_line(tmp_path: Path, raw: bytes) -> None:
    play(tmp_path)
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    (folder / "run.json").write_bytes(raw)
    done = invoke(tmp_path)
    assert isinstance(done.exception, FgvrError)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "wrong"]


def test_machines_are_told_in_json_and_files_stand_for_their_run(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    done = invoke(folder / "run.json", folder / "responses.jsonl", "--format", "json")
    (row,) = json.loads(done.stdout)["runs"]
    assert (row["state"], row["model"], row["metrics"]["accuracy"]) == ("ok", "oracle", 1.0)


def put_published(reference: Path, key: str) -> None:
    published = host().datasets[key].card.published
    assert published is not None
    (cache_folder() / "published").mkdir(parents=True)
    (cache_folder() / "published" / published.url.rpartition("/")[2]).write_bytes(option_cache(reference, key))


def test_a_run_on_a_published_dataset_is_verified_with_its_images_and_without(reference: Path, tmp_path: Path) -> None:
    """8,580 questions, one image twice: the published file alone gives choices, right answers and the set's digest."""
    data = tmp_path / "data"
    lay_out(published_plan(reference, "dog-120"), data, drawing=None, splits=("test",))
    put_published(reference, "dog-120")
    words = ["--model", "always-a", "--dataset", "dog-120", "--workers", "0", "--data-root", data]
    done = CliRunner().invoke(fgvr_bench, ["run", *map(str, words), "--results-dir", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    for roots, absent in (((data,), 0), ((tmp_path / "nowhere",), 1)):
        (found,) = Verifier(host(), Knowledge(host(), roots), True).verify([tmp_path / "results"])
        assert found.state == "ok", found
        assert len(found.unchecked) == absent, found.unchecked
    forged(found.folder, lambda content, lines: lines.pop(4000))
    (found,) = Verifier(host(), Knowledge(host(), [tmp_path / "nowhere"])).verify([tmp_path / "results"])
    assert "8,579 of 8,580 questions" in found.problems[-1]
    assert "do not show the options whose digest" in found.problems[0]


def test_published_answers_are_held_against_the_published_options(reference: Path, tmp_path: Path) -> None:
    """The answers come from others; the option set is the published file, and no image is needed."""
    file = reference / "rescoring" / "bird-200.jsonl.gz"
    words = ["import", str(file), "--dataset", "bird-200", "--model", "published", "--results-dir", str(tmp_path)]
    assert CliRunner().invoke(results, words).exit_code == 0
    (found,) = verified(tmp_path, host())
    assert "options (fgvr-bench options fetch bird-200)" in found.unchecked
    put_published(reference, "bird-200")
    (found,) = verified(tmp_path, host(), published=True)
    assert found.state == "ok", found
    assert [each for each in found.unchecked if not each.startswith("images")] == []

    def turned(content: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        lines[0]["label"] = lines[0]["choices"][lines[0]["target"] - 1]
        lines[0]["target"] = (lines[0]["target"] - 1) % 4

    forged(found.folder, turned)
    (found,) = verified(tmp_path, host())
    assert "the right answer is" in found.problems[0]
