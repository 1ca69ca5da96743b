"""Greedy rows that end one by one, and answers that one prefill ranks."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvr_bench.core.host import Host
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.engines.huggingface.answers import AnswerTokens, NotDistinct
from fgvr_bench.engines.huggingface.decoding import Rows
from fgvr_bench.interfaces import Decoding, ModelCard, ModelSettings
from fgvr_bench.types import FileImage, Prompt, Stop

PLUGIN = HuggingFacePlugin(ModelCard("tiny", "Tiny"))
END = 0


def prompt(number: int = 0) -> Prompt:
    return Prompt(f"q{number}", FileImage(""), "Which?", ("A", "B"), ("crow", "tern"))


def letters(tokens: list[int]) -> str:
    return "".join(chr(96 + token) for token in tokens)


def begins_with_letter(text: str, letters: tuple[str, ...], choices: tuple[str, ...]) -> bool:
    return text[:1] in {"a", "b"} and len(text) > 1


def run(streams: list[list[int]], decoding: Decoding) -> Rows:
    """Feed token streams to rows as a loop would: only those at work get a token."""
    rows = Rows([prompt(number) for number in range(len(streams))], letters, frozenset({END}), decoding)
    step = 0
    while rows.at_work:
        rows.take([streams[number][step] for number in rows.at_work])
        step += 1
    return rows


def test_rows_end_by_end_of_text_limit_or_verdict() -> None:
    decoding = Decoding(max_new_tokens=3, settled=begins_with_letter)
    rows = run([[3, END, 9, 9], [3, 4, 5, 9], [1, 3, 9, 9], [END, 9, 9, 9]], decoding)
    found = [(response.completion, response.stop, response.tokens) for response in rows.responses()]
    assert found == [("c", Stop.EOS, 1), ("cde", Stop.LENGTH, 3), ("ac", Stop.SETTLED, 2), ("", Stop.EOS, 0)]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=8, max_size=8), min_size=1, max_size=6),
    st.integers(1, 8),
)
def test_a_row_is_answered_as_if_it_were_alone(streams: list[list[int]], limit: int) -> None:
    decoding = Decoding(max_new_tokens=limit, settled=begins_with_letter)
    together = run(streams, decoding).responses()
    for number, stream in enumerate(streams):
        alone = run([stream], decoding).responses()[0]
        assert (alone.completion, alone.stop, alone.tokens) == (
            together[number].completion,
            together[number].stop,
            together[number].tokens,
        )


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=8, max_size=8))
def test_a_settled_text_is_the_beginning_of_the_whole_one(stream: list[int]) -> None:
    short = run([stream], Decoding(max_new_tokens=8, settled=begins_with_letter)).responses()[0]
    whole = run([stream], Decoding(max_new_tokens=8)).responses()[0]
    assert short.completion is not None
    assert whole.completion is not None
    assert whole.completion.startswith(short.completion)
    if short.stop is Stop.SETTLED:
        assert whole.completion[:1] == short.completion[:1]
    else:
        assert short == whole


def test_a_character_in_the_making_settles_nothing() -> None:
    seen: list[str] = []

    def settled(text: str, letters: tuple[str, ...], choices: tuple[str, ...]) -> bool:
        seen.append(text)
        return False

    rows = Rows([prompt()], lambda tokens: "A\ufffd", frozenset({END}), Decoding(max_new_tokens=1, settled=settled))
    rows.take([7])
    assert seen == ["A"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.llava(tmp_path_factory.mktemp("llava"))


def load(folder: Path, decoding: Decoding, **args: str) -> Any:
    asked = ModelSettings(checkpoint=str(folder), device="cpu", dtype="float64", decoding=decoding, args=args)
    return PLUGIN.load(asked)


def batch(model: Any, prompts: list[Prompt]) -> Any:
    images = tiny.pictures(len(prompts))
    return model.preparer.batch([model.preparer.item(*pair) for pair in zip(prompts, images, strict=True)])


def short(text: str, letters: tuple[str, ...], choices: tuple[str, ...]) -> bool:
    return len(text) >= 3


def test_a_model_stops_settled_rows_and_keeps_on_with_the_others(folder: Path) -> None:
    prompts = tiny.prompts(8)
    whole, stopping = (
        load(folder, Decoding(max_new_tokens=12)),
        load(folder, Decoding(max_new_tokens=12, settled=short)),
    )
    calls: list[int] = []
    stopping.model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    full = whole.respond(prompts, batch(whole, prompts))
    early = stopping.respond(prompts, batch(stopping, prompts))
    assert calls[0] == 8
    assert calls == sorted(calls, reverse=True)
    assert calls[-1] < 8, "rows that ended have to leave the batch"
    for one, other in zip(early, full, strict=True):
        assert other.completion.startswith(one.completion)
        assert one.stop is (Stop.SETTLED if short(one.completion, (), ()) else other.stop)
        assert one.tokens <= other.tokens
    assert {response.stop for response in full} <= {Stop.EOS, Stop.LENGTH}


def test_generation_settings_of_a_checkpoint_do_not_make_it_sample(folder: Path) -> None:
    prompts = tiny.prompts(2)
    plain = load(folder, Decoding(max_new_tokens=5))
    expected = plain.respond(prompts, batch(plain, prompts))
    for sampling in ({"do_sample": True, "temperature": 5.0, "top_k": 3}, {"repetition_penalty": 3.0}):
        model = load(folder, Decoding(max_new_tokens=5))
        from transformers import GenerationConfig

        from fgvr_bench.engines.huggingface.decoding import make_greedy

        model.model.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, **sampling)
        make_greedy(model.model)
        assert model.respond(prompts, batch(model, prompts)) == expected


def test_banned_tokens_of_a_checkpoint_stay_banned(folder: Path) -> None:
    from fgvr_bench.engines.huggingface.decoding import make_greedy

    prompts = tiny.prompts(1)
    model = load(folder, Decoding(max_new_tokens=1))
    first = model.respond(prompts, batch(model, prompts))[0].completion
    banned = [
        number
        for number in range(len(model.preparer.processor.tokenizer))
        if model.preparer.processor.tokenizer.decode([number]).strip() == first
    ]
    model.model.generation_config.bad_words_ids = [[number] for number in banned]
    make_greedy(model.model)
    assert model.respond(prompts, batch(model, prompts))[0].completion != first


def test_scores_are_log_probabilities_over_the_whole_vocabulary(folder: Path) -> None:
    import torch

    from fgvr_bench.engines.huggingface.preparing import ANSWERS

    model = load(folder, Decoding("logprob"))
    prompts = tiny.prompts(1)
    prepared = batch(model, prompts)
    scores = model.respond(prompts, prepared)[0].scores
    tokens = prepared.pop(ANSWERS)[0]
    with torch.no_grad():
        expected = model.model(**prepared).logits[0, -1].log_softmax(-1)[tokens]
    assert scores == pytest.approx(expected.tolist(), abs=1e-6)
    assert sum(map(torch.tensor(scores).exp().__getitem__, range(4))) < 1


def words() -> Any:
    return tiny.tokenizer(["<s>", "</s>", "<pad>"], "<s>", "</s>", "<pad>")


def test_letters_carry_the_space_where_the_template_writes_one() -> None:
    tokenizer = words()
    shared, firsts = AnswerTokens(tokenizer, " ").find("Assistant:", ("A", "B"))
    assert (shared, tokenizer.convert_ids_to_tokens(firsts)) == ([], ["ĠA", "ĠB"])
    shared, firsts = AnswerTokens(tokenizer, "").find("assistant\n", ("A", "B"))
    assert (shared, tokenizer.convert_ids_to_tokens(firsts)) == ([], ["A", "B"])


def test_words_are_ranked_by_their_first_token() -> None:
    tokenizer = words()
    shared, firsts = AnswerTokens(tokenizer, "").find("Q:", ("yes", "no"))
    assert (shared, tokenizer.convert_ids_to_tokens(firsts)) == ([], ["yes", "no"])


def test_a_beginning_that_all_answers_share_is_a_part_of_the_prompt() -> None:
    tokenizer = words()
    shared, firsts = AnswerTokens(tokenizer, "").find("Q:", ("xq", "xz"))
    assert tokenizer.convert_ids_to_tokens([*shared, *firsts]) == ["x", "q", "z"]


@pytest.mark.parametrize(
    ("answers", "words_of_error"),
    [
        (("xq", "xz", "y", "ya"), "begin with the same token"),
        (("x", "xq"), "beginning of another"),
        (("x",), "no answers to rank"),
    ],
)
def test_answers_that_one_token_cannot_tell_apart_are_refused(answers: tuple[str, ...], words_of_error: str) -> None:
    with pytest.raises(NotDistinct, match=words_of_error):
        AnswerTokens(words(), "").find("Q:", answers)


def test_yes_and_no_are_ranked_where_choices_carry_no_letters(folder: Path) -> None:
    model = load(folder, Decoding("logprob"))
    asked = Prompt("q", FileImage(""), "Does the image show a crow?", (), ("yes", "no"))
    response = model.respond([asked], batch(model, [asked]))[0]
    assert response.scores is not None
    assert len(response.scores) == 2


def test_questions_with_different_numbers_of_choices_share_a_batch(folder: Path) -> None:
    model = load(folder, Decoding("logprob"))
    asked = [*tiny.prompts(1), Prompt("q", FileImage(""), "Is it?", (), ("yes", "no"))]
    together = model.respond(asked, batch(model, asked))
    assert [len(response.scores) for response in together] == [4, 2]


HOST = Host()
HOST.add(importlib.import_module("fgvr_bench.protocols"), "protocols")
PIECES = ("", "A", "B", ".", " ", "crow", "tern", "Answer: ", "The ", "is ", "not ", "\n", "or ", "**", "(", ")")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(PIECES) - 1), min_size=12, max_size=12))
def test_the_verdict_on_a_settled_row_is_that_on_the_whole_text(stream: list[int]) -> None:
    task = next(iter(HOST.protocols["fgvr-1"].tasks.values()))
    early, whole = (
        Rows([prompt()], lambda tokens: "".join(PIECES[token] for token in tokens), frozenset({END}), decoding)
        for decoding in (Decoding(max_new_tokens=12, settled=task.settled), Decoding(max_new_tokens=12))
    )
    for rows in (early, whole):
        for token in stream:
            if rows.at_work:
                rows.take([token])
    verdicts = [task.read(rows.responses()[0], ("A", "B"), ("crow", "tern")).choice for rows in (early, whole)]
    assert verdicts[0] == verdicts[1]
