"""Tiny models of real classes behind real servers: what comes back is what the engine itself computes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
from openai_server import Asked, Reply, ranked, serve
from transformers_server import transformers_server

import fgvr_bench
from fgvr_bench.core.host import host
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Decoding, ModelSettings

SETTINGS: dict[str, Any] = {"workers": 0, "device": "cpu", "max_new_tokens": 8}
HERE: dict[str, Any] = {**SETTINGS, "dtype": "float32", "batch_size": 1, "full_text": True}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out 12 pictures of different shapes in 3 classes, every other one as a JPEG."""
    folder = tmp_path_factory.mktemp("photos")
    for number, picture in enumerate(tiny.pictures(12)):
        place = folder / ("Dunlin", "Knot", "Ruff")[number % 3]
        place.mkdir(exist_ok=True)
        picture.save(place / f"{number:02}.{('png', 'jpg')[number % 2]}")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny LLaVA with random weights."""
    return tiny_families.llava(tmp_path_factory.mktemp("served") / "tiny-llava")


@pytest.fixture
def transformers_serve(tmp_path: Path) -> Iterator[str]:
    """Yield the url of ``transformers serve``, started in a process of its own."""
    with transformers_server(tmp_path) as url:
        yield url


def answers(model: str, photos: Path, results: Path, **settings: Any) -> list[dict[str, Any]]:
    """Return the stored answers of a run."""
    evaluation = fgvr_bench.evaluate(model, f"folder:{photos}", results_dir=results, options="random", **settings)
    (result,) = evaluation.results
    assert (result.questions, result.failed) == (12, 0)
    return [json.loads(line) for line in (result.folder / "responses.jsonl").read_text().splitlines()][-12:]


def test_transformers_serve_answers_with_the_words_of_the_engine(
    transformers_serve: str, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    api = f"api:{checkpoint}@{transformers_serve}"
    served = answers(api, photos, tmp_path / "api", **SETTINGS, model_args={"concurrency": "4"})
    here = answers(f"hf:{checkpoint}", photos, tmp_path / "hf", **HERE, model_args={"image_backend": "pil"})
    assert len({line["completion"] for line in served}) > 3
    assert served == here
    with pytest.raises(FgvrError, match=r"does not give the log-probabilities.*Use --decoding generate"):
        answers(api, photos, tmp_path / "ranked", **SETTINGS, decoding="logprob")


def test_letters_ranked_by_a_server_have_the_scores_of_the_engine(
    checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    # `transformers serve` gives no log-probabilities, so here a server of the tests' own runs the model.
    plugin, argument = host().models.find(f"hf:{checkpoint}")
    settings = ModelSettings(
        argument=argument,
        device="cpu",
        dtype="float32",
        decoding=Decoding("logprob"),
        args={"image_backend": "pil"},
    )
    engine: Any = plugin.load(settings)
    one_at_a_time = threading.Lock()

    def answer(asked: Asked) -> Reply:
        with one_at_a_time:
            return Reply(ranked(most_likely(engine, asked)))

    with serve(answer) as server:
        more = {"top_logprobs": "400"}
        served = answers(server.name, photos, tmp_path / "api", **SETTINGS, decoding="logprob", model_args=more)
    more = {"image_backend": "pil"}
    here = answers(f"hf:{checkpoint}", photos, tmp_path / "hf", **HERE, decoding="logprob", model_args=more)
    for ours, theirs in zip(here, served, strict=True):
        assert ours["question_id"] == theirs["question_id"]
        assert theirs["scores"] == pytest.approx(ours["scores"], abs=2e-5)


def most_likely(engine: Any, asked: Asked) -> dict[str, float]:
    """Return the most likely next tokens with their log-probabilities.

    Letters without a space before them are left out: this model's template has a space there, so that the engine
    ranks the tokens with one, and the client would take the likelier of the two.
    """
    import torch

    processor = engine.preparer.processor
    text = engine.preparer.template.render(processor, asked.text)
    pictures = [asked.picture.convert("RGB")]
    inputs = processor(text=[text], images=pictures, return_tensors="pt", add_special_tokens=not text.startswith("<s>"))
    with torch.inference_mode():
        logprobs = engine.model(**inputs).logits[0, -1].log_softmax(-1)
    best = logprobs.topk(min(asked.body["top_logprobs"], len(logprobs)))
    tokens = processor.tokenizer.convert_ids_to_tokens(best.indices.tolist())
    return {token: value for token, value in zip(tokens, best.values.tolist(), strict=True) if token not in set("ABC")}
