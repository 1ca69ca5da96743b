"""The CLIP miner with a real (tiny, random) open_clip model: exact, resumable, cached, and honest about bad images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny
from option_toys import LABELS, Pictures, draw_pictures

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.images import decode_image
from fgvr_bench.core.options import OptionSet, find_or_build
from fgvr_bench.engines.open_clip import LoadedClip, load_open_clip
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.miners import fast, parts


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pictures(tmp_path: Path, clip: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", clip=clip)


def settings(k: int = 4, batch: int = 4, **args: str) -> MiningSettings:
    named = {name.replace("_", "-"): value for name, value in args.items()}
    return MiningSettings(k=k, device="cpu", batch_size=batch, workers=0, args=named)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images of every batch that a model embeds."""
    counts: list[int] = []
    original = LoadedClip.encode_images

    def counting(self: LoadedClip, images: object) -> object:
        counts.append(len(images))  # type: ignore[arg-type]
        return original(self, images)  # type: ignore[arg-type]

    monkeypatch.setattr(LoadedClip, "encode_images", counting)
    return counts


def plain_loop(pictures: Pictures, clip: Path, k: int, template: str = "an image of a {}") -> Mapping[str, list[str]]:
    """Return the choices of each example as the rule says, one image at a time."""
    import torch

    model = load_open_clip(str(clip), "cpu", "float64")
    texts = model.encode_texts([template.format(label) for label in LABELS])
    chosen = {}
    for example in pictures.examples():
        pixels = model.preprocess(decode_image(example.image.read()))
        scores = (model.encode_images(torch.stack([pixels])) @ texts.T)[0].tolist()
        others = sorted((label for label in LABELS if label != example.label), key=lambda x: scores[LABELS.index(x)])
        chosen[example.example_id] = [example.label, *others[max(0, len(others) - k + 1) :]]
    return chosen


def choices(options: OptionSet, pictures: Pictures) -> Mapping[str, list[str]]:
    return {row.example_id: list(row.choices) for row in options.for_examples(pictures.examples())}


@pytest.mark.parametrize("k", [2, 4, 7, 26])
def test_the_sets_are_those_of_the_plain_loop(pictures: Pictures, clip: Path, k: int) -> None:
    mined = find_or_build(pictures, "test", "clip", settings(k))
    assert choices(mined, pictures) == plain_loop(pictures, clip, k)
    assert {len(row.choices) for row in mined.for_examples(pictures.examples())} == {min(k, len(LABELS))}


def test_similarities_rank_and_margin_are_those_of_the_model(pictures: Pictures, clip: Path) -> None:
    mined = find_or_build(pictures, "test", "clip", settings(26))
    for row in mined.for_examples(pictures.examples()):
        ranking = sorted(row.similarities, reverse=True)
        assert row.truth_rank == ranking.index(row.similarities[0]) + 1
        assert row.truth_margin == pytest.approx(row.similarities[0] - max(row.similarities[1:]), abs=2e-6)
        assert list(row.similarities[1:]) == sorted(row.similarities[1:])


def test_batch_size_and_workers_change_nothing(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for number, (batch, workers) in enumerate([(1, 0), (5, 0), (21, 0), (4, 2)]):
        monkeypatch.setenv("FGVR_CACHE", str(tmp_path / f"cache{number}"))
        one = MiningSettings(device="cpu", batch_size=batch, workers=workers)
        files.append(find_or_build(pictures, "test", "clip", one).path.read_bytes())
    assert len(set(files)) == 1


def test_the_header_names_all_that_the_set_came_from(pictures: Pictures) -> None:
    header = find_or_build(pictures, "test", "clip", settings()).header
    assert header["dataset_digest"] == dataset_digest(pictures, "test")
    assert header["labels"] == list(LABELS)
    assert (header["miner"], header["k"], header["seed"]) == ("clip", 4, None)
    inputs = header["miner_inputs"]
    assert inputs["templates"] == ["an image of a {label}"]
    assert inputs["precision"] == inputs["encoder"]["dtype"] == "float64"
    assert len(inputs["encoder"]["sha256"]) == 64
    assert "comes first in the label list" in inputs["tie_rule"]
    assert header["versions"]["torch"]


def test_a_second_call_returns_the_stored_set(pictures: Pictures, encoded: list[int]) -> None:
    first = find_or_build(pictures, "test", "clip", settings())
    again = find_or_build(pictures, "test", "clip", settings())
    assert (first.path, first.digest) == (again.path, again.digest)
    assert sum(encoded) == 21


def test_another_k_or_template_embeds_no_image_again(pictures: Pictures, encoded: list[int]) -> None:
    find_or_build(pictures, "test", "clip", settings())
    wider = find_or_build(pictures, "test", "clip", settings(6))
    other = find_or_build(pictures, "test", "clip", settings(template="a drawing of {label}|the {label}"))
    assert sum(encoded) == 21
    assert len({wider.digest, other.digest, find_or_build(pictures, "test", "clip", settings()).digest}) == 3
    assert other.header["miner_inputs"]["templates"] == ["a drawing of {label}", "the {label}"]


def test_a_changed_image_or_checkpoint_is_mined_anew(pictures: Pictures, encoded: list[int], tmp_path: Path) -> None:
    find_or_build(pictures, "test", "clip", settings())
    one, other = (Path(pictures.examples()[place].image.path) for place in (0, 1))
    other.write_bytes(one.read_bytes())
    find_or_build(pictures, "test", "clip", settings())
    assert sum(encoded) == 42
    find_or_build(pictures, "test", "clip", settings(model=str(tiny.clip(tmp_path / "other", seed=5)), dtype="float64"))
    assert sum(encoded) == 63


def test_interrupted_mining_goes_on_and_ends_with_the_same_bytes(
    pictures: Pictures, encoded: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = find_or_build(pictures, "test", "clip", settings()).path.read_bytes()
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path / "second"))
    counting = LoadedClip.encode_images
    encoded.clear()

    def interrupted(self: LoadedClip, images: object) -> object:
        if sum(encoded) >= 12:
            raise KeyboardInterrupt
        return counting(self, images)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LoadedClip, "encode_images", interrupted)
        with pytest.raises(KeyboardInterrupt):
            find_or_build(pictures, "test", "clip", settings())
    assert not list((tmp_path / "second" / "options").rglob("*.jsonl"))
    (rows,) = (tmp_path / "second" / "embeddings").glob("*.f32")
    rows.write_bytes(rows.read_bytes() + b"\0" * 70)  # a torn row, and one that a power cut left as zeros
    assert find_or_build(pictures, "test", "clip", settings()).path.read_bytes() == whole
    assert sum(encoded) == 21


def test_a_bad_image_keeps_its_question_and_is_named(pictures: Pictures) -> None:
    bad = Path(pictures.examples()[5].image.path)
    bad.write_bytes(b"no picture")
    mined = find_or_build(pictures, "test", "clip", settings())
    assert mined.header["found"] == {
        "unreadable": 1,
        "unreadable_images": {"pictures/test/0005.png": "not an image in a known format"},
    }
    row = mined.for_examples(pictures.examples())[5]
    assert (row.truth, len(row.choices), row.similarities, row.truth_rank) == ("Frost moth", 4, (), None)
    with pytest.raises(DataInvalid, match=r"0005\.png cannot be read: not an image"):
        find_or_build(pictures, "test", "clip", settings(5, on_bad_image="fail"))


def test_a_bad_image_is_fatal_at_once_where_that_was_asked(pictures: Pictures, encoded: list[int]) -> None:
    Path(pictures.examples()[5].image.path).write_bytes(b"no picture")
    with pytest.raises(DataInvalid, match="--on-bad-image skip"):
        find_or_build(pictures, "test", "clip", settings(on_bad_image="fail"))
    assert sum(encoded) <= 8


def test_labels_without_images_are_offered_too(pictures: Pictures) -> None:
    for example in pictures.examples():
        if example.label == "Grey moth":
            Path(example.image.path).unlink()
    mined = find_or_build(pictures, "test", "clip", settings(7))
    assert all("Grey moth" in row.choices for row in mined.for_examples(pictures.examples()))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_fast_pass_with_rechecks_gives_the_exact_sets(
    pictures: Pictures, clip: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = draw_pictures(Path(pictures.root).parent / "more", 150, clip)
    model = str(clip)
    exact = find_or_build(big, "test", "clip", settings(batch=50, model=model, precision="exact"))
    quick = settings(batch=50, model=model, precision="fast", fast_dtype=precision)
    mined = find_or_build(big, "test", "clip", quick)
    assert mined.path != exact.path
    assert choices(mined, big) == choices(exact, big)
    found = mined.header["found"]["fast_pass"]
    assert found["margin"] >= 4 * found["largest_error"] > 0
    assert (found["calibrated_on"], found["audited_on"], found["audit_sets_different"]) == (30, 15, 0)
    assert 0 <= found["in_doubt"] <= 150


def test_samples_are_embedded_from_the_pixels_that_the_first_pass_reads(
    clip: Path, tmp_path: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    decode = parts.decode_image
    monkeypatch.setattr(parts, "decode_image", lambda data: (read.append(len(data)), decode(data))[1])
    monkeypatch.setattr(fast, "SAFETY", 0.0)  # so that nothing is in doubt
    big = draw_pictures(tmp_path / "more", 150, clip)
    mined = find_or_build(big, "test", "clip", settings(batch=50, model=str(clip), precision="fast"))
    assert mined.header["found"]["fast_pass"]["in_doubt"] == 0
    assert len(read) == 150
    assert sum(encoded) == 150 + 30 + 15


def test_the_fast_pass_alone_would_have_given_other_sets(clip: Path, tmp_path: Path) -> None:
    big = draw_pictures(tmp_path / "more", 150, clip)
    exact = find_or_build(big, "test", "clip", settings(batch=50, model=str(clip), precision="exact"))
    quick = settings(batch=50, model=str(clip), precision="fast", fast_dtype="bfloat16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast.Rechecked, "replace", lambda self, start, rows: rows)
        unchecked = find_or_build(big, "test", "clip", quick, folder=tmp_path / "unchecked")
    assert choices(unchecked, big) != choices(exact, big)


def test_rechecked_rows_are_kept_for_the_next_question(clip: Path, tmp_path: Path, encoded: list[int]) -> None:
    big = draw_pictures(tmp_path / "more", 60, clip)
    find_or_build(big, "test", "clip", settings(6, model=str(clip), precision="fast", fast_dtype="bfloat16"))
    before = sum(encoded)
    find_or_build(big, "test", "clip", settings(5, model=str(clip), precision="fast", fast_dtype="bfloat16"))
    assert sum(encoded) == before  # what is in doubt among 5 was in doubt among 6


def test_labels_with_equal_texts_are_taken_in_label_order(pictures: Pictures) -> None:
    mined = find_or_build(pictures, "test", "clip", settings(4, template="a {label}"))
    assert choices(mined, pictures)  # a template that tells labels apart
    pictures.names = tuple(sorted(("AMBER MOTH", "Amber moth", "amber moth", *LABELS[1:])))
    twins = find_or_build(pictures, "test", "clip", settings(9, template="a {label}"))
    for row in twins.for_examples(pictures.examples()):
        same = [choice for choice in row.choices[1:] if choice.lower() == "amber moth"]
        assert same == sorted(same, reverse=True)  # equal similarity: the first in label order counts as more similar


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"modle": "x"}, "has no setting 'modle'. Did you mean model?"),
        ({"template": "a bird"}, "has no {label}"),
        ({"precision": "double"}, "precision is one of auto, fast, exact"),
    ],
)
def test_unknown_settings_are_refused(pictures: Pictures, args: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("{", r"\{").replace("?", r"\?")):
        find_or_build(pictures, "test", "clip", settings(**args))


@pytest.mark.parametrize("k", [1, 27])
def test_k_has_to_leave_a_question(pictures: Pictures, k: int) -> None:
    with pytest.raises(UsageError, match="2 to 26 choices"):
        find_or_build(pictures, "test", "clip", settings(k))


def test_embeddings_are_read_in_pieces_not_mapped(tmp_path: Path) -> None:
    from fgvr_bench.miners.embeddings import CHUNK, Embeddings

    rows = np.arange((CHUNK + 5) * 3, dtype=np.float32).reshape(-1, 3)
    path = tmp_path / "rows.f32"
    rows.tofile(path)
    pieces = list(Embeddings(path, CHUNK + 5, 3, {}, fresh=False).chunks())
    assert [start for start, _ in pieces] == [0, CHUNK]
    assert np.array_equal(np.concatenate([piece for _, piece in pieces]), rows)
