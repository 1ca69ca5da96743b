"""The conformance kit on models: each thing that a model plugin can get wrong is said in a sentence."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fgvr_bench.errors import ModelUnavailable
from fgvr_bench.interfaces import Decoding, Model, ModelCard, ModelPlugin, ModelSettings, Preparer
from fgvr_bench.testing import PluginFault, check_model
from fgvr_bench.types import Prompt, Response, ScoreKind, Stop

CARD = ModelCard("brightness", "Brightness", licence="MIT", exposure="zero-shot", decodings=("generate",))
BY_LETTER = replace(CARD, decodings=("logprob",))
Respond = Callable[["Bright", Sequence[Prompt], Any], Any]


def brightness(image: Any) -> int:
    """Return something that follows from the picture alone."""
    return sum(image.resize((1, 1)).getpixel((0, 0)))


def answer(prompt: Prompt, number: int) -> Response:
    said = prompt.letters or prompt.choices or ("a colour",)
    return Response(prompt.question_id, said[number % len(said)], stop=Stop.EOS)


def scored(prompt: Prompt, number: int, kind: ScoreKind = ScoreKind.LOGPROB) -> Response:
    scores = tuple(-float((number + place) % 7) for place in range(len(prompt.choices)))
    return Response(prompt.question_id, scores=scores, score_kind=kind)


def by_brightness(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
    make = answer if model.decoding.name == "generate" else scored
    return [make(prompt, brightness(image)) for prompt, image in zip(prompts, batch, strict=True)]


class Bright(Model):
    """A model whose way of answering a test brings along."""

    batch_size = 4

    def __init__(self, decoding: Decoding = Decoding(), respond: Respond = by_brightness) -> None:  # noqa: B008
        self.decoding, self._respond, self.asked = decoding, respond, 0

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Any:
        self.asked += 1
        return self._respond(self, prompts, batch)


class Plugin(ModelPlugin):
    def __init__(self, respond: Respond = by_brightness, card: ModelCard = CARD, **model: Any) -> None:
        self.card, self._respond, self._model = card, respond, model

    def load(self, settings: ModelSettings) -> Model:
        model = Bright(settings.decoding, self._respond)
        for name, value in self._model.items():
            setattr(model, name, value)
        return model


def faults(plugin: ModelPlugin, **more: Any) -> str:
    """Return what the kit says is wrong."""
    with pytest.raises(PluginFault) as caught:
        check_model(plugin, **more)
    assert caught.value.subject == f"Model {plugin.card.name!r}"
    return str(caught.value)


@pytest.mark.parametrize("card", [CARD, BY_LETTER, replace(CARD, decodings=("generate", "logprob"))])
def test_nothing_is_said_against_a_model_that_is_right(card: ModelCard) -> None:
    check_model(Plugin(card=card))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (replace(CARD, licence="unknown"), "Its card states no licence. Write licence=..."),
        (replace(CARD, licence="  "), "Its card states no licence"),
        (replace(CARD, homepage="https://a.page"), "names https://a.page and no citation"),
        (replace(CARD, checkpoint="org/name"), "names org/name and no citation"),
        (replace(CARD, title=""), "Its card has no title. Write title=... into ModelCard(...)."),
        (replace(CARD, title=" Bright "), "The title on its card has stray spaces: ' Bright '"),
        (replace(CARD, name="two words"), "It cannot be registered: 'two words' cannot name a model"),
        (replace(CARD, exposure="seen"), "Its exposure is 'seen'; it is one of zero-shot, tuned, unknown"),
        (replace(CARD, decodings=("beam",)), "Its card has the decodings ('beam',); they are some of generate"),
        (replace(CARD, decodings=()), "Its card has the decodings ()"),
        (replace(CARD, foci_template="User:"), "Its foci_template 'User:' has no {} for the question"),
    ],
)
def test_a_card_that_lacks_something_is_told_what(card: ModelCard, said: str) -> None:
    assert said in faults(Plugin(card=card), card_only=True)


def drawn(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
    return [answer(prompt, random.randrange(1000)) for prompt in prompts]


def from_the_name(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
    return [answer(prompt, len(prompt.question_id.split("#")[0])) for prompt in prompts]


def from_the_path(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
    return [answer(prompt, len(prompt.image.path)) for prompt in prompts]  # type: ignore[attr-defined]


RESPONDS: dict[str, tuple[Respond, str]] = {
    "too few": (lambda m, p, b: by_brightness(m, p, b)[1:], "respond() returns 7 responses to 8 prompts"),
    "another order": (lambda m, p, b: by_brightness(m, p, b)[::-1], "in another order than the prompts"),
    "plain text": (lambda m, p, b: ["A"] * len(p), "respond() returns a str. Return fgvr_bench.types.Response"),
    "an error": (lambda m, p, b: 1 / 0, "respond() under decoding 'generate' raises ZeroDivisionError"),
    "failed answers": (
        lambda m, p, b: [Response(each.question_id, error="cannot") for each in p],
        "It fails on a question of the default protocol",
    ),
    "scores for text": (
        lambda m, p, b: [scored(each, 1) for each in p],
        "Under decoding 'generate' it returns no completion",
    ),
    "global randomness": (drawn, "respond() moves the global generator of random"),
    "hidden randomness": (drawn, "it answers otherwise when it is asked again. There is hidden randomness"),
    "memory between batches": (
        lambda m, p, b: [answer(each, m.asked) for each in p],
        "it answers otherwise when it is asked again",
    ),
    "the batch": (lambda m, p, b: [answer(each, len(p)) for each in p], "a question alone than in a batch"),
    "the place in the batch": (
        lambda m, p, b: [answer(each, place) for place, each in enumerate(p)],
        "it answers otherwise when the batch stands in another order",
    ),
    "the id, which holds the label": (from_the_name, "under other question ids and file names"),
    "the file's name, which holds the label": (from_the_path, "under other question ids and file names"),
}


@pytest.mark.parametrize("what", RESPONDS)
def test_answers_that_hang_on_what_they_must_not_are_found(what: str) -> None:
    respond, said = RESPONDS[what]
    assert said in faults(Plugin(respond))


def through_the_model(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
    model.images = batch  # type: ignore[attr-defined]
    if threading.current_thread() is not threading.main_thread():
        time.sleep(0.3)  # as long as another thread needs
    return by_brightness(model, prompts, model.images)  # type: ignore[attr-defined]


def test_a_model_that_two_threads_may_ask_keeps_their_batches_apart() -> None:
    check_model(Plugin(callers=2))
    said = faults(Plugin(through_the_model, callers=2))
    assert "it answers otherwise when 2 threads ask it at a time, and it says callers = 2" in said
    check_model(Plugin(through_the_model))


SCORES: dict[str, tuple[Respond, str]] = {
    "no scores": (lambda m, p, b: [answer(each, 0) for each in p], "Under decoding 'logprob' it returns no scores"),
    "another kind": (
        lambda m, p, b: [scored(each, 1, ScoreKind.SIMILARITY) for each in p],
        "Under decoding 'logprob' its score_kind is",
    ),
    "one score": (
        lambda m, p, b: [Response(each.question_id, scores=(0.0,), score_kind=ScoreKind.LOGPROB) for each in p],
        "It gives 1 scores for 4 choices. Give one a choice.",
    ),
    "not a number": (
        lambda m, p, b: [
            Response(each.question_id, scores=(float("nan"),) * len(each.choices), score_kind=ScoreKind.LOGPROB)
            for each in p
        ],
        "It gives scores that are not finite",
    ),
}


@pytest.mark.parametrize("what", SCORES)
def test_scores_that_are_none_are_found(what: str) -> None:
    respond, said = SCORES[what]
    assert said in faults(Plugin(respond, BY_LETTER))


def test_scores_may_lie_as_far_apart_as_rounding_puts_them_and_no_further() -> None:
    def respond(model: Bright, prompts: Sequence[Prompt], batch: Any) -> list[Response]:
        off = 1e-6 * len(prompts)
        moved = by_brightness(model, prompts, batch)
        return [replace(each, scores=tuple(score - off for score in each.scores or ())) for each in moved]

    check_model(Plugin(respond, BY_LETTER))
    assert "a question alone than in a batch" in faults(Plugin(respond, BY_LETTER), tolerance=1e-7)


class HoldsALambda(Preparer):
    def __init__(self) -> None:
        self.resize = lambda image: image


class HoldsWeights(Preparer):
    def __init__(self) -> None:
        self.weights = bytes(65 * 2**20)


class Forgets(Preparer):
    """Knows something that does not travel to a worker process."""

    def __init__(self) -> None:
        self.turned = True

    def __reduce__(self) -> Any:
        return (_forgetful, ())

    def item(self, prompt: Prompt, image: Any) -> Any:
        return image if self.turned else image.point(lambda value: 255 - value)


def _forgetful() -> Forgets:
    made = Forgets()
    made.turned = False
    return made


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"preparer": HoldsALambda()}, "Its preparer cannot be sent to worker processes"),
        ({"preparer": HoldsWeights()}, "Its preparer weighs 65 MB when it is sent to a worker process"),
        ({"preparer": Forgets()}, "answers otherwise when its preparer has been sent to a worker process"),
        ({"batch_size": 0}, "Its batch_size is 0; it is a whole number of 1 or more"),
        ({"facts": lambda: {"layers": {1, 2}}}, "facts() returns what cannot be written as JSON"),
        ({"go_on": lambda decoding: True}, "go_on() takes decoding 'logprob' and answers otherwise"),
    ],
)
def test_what_a_loaded_model_says_of_itself_is_looked_at(model: dict[str, Any], said: str) -> None:
    assert said in faults(Plugin(card=replace(CARD, decodings=("generate", "logprob")), **model))


class Embeds(Bright):
    def embed_texts(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [(1.0, float(len(texts) > 1)) for _ in texts]


LOADED = itertools.count()


def by_weights(weights: int) -> Respond:
    return lambda model, prompts, batch: [answer(each, weights) for each in prompts]


class Loads(Plugin):
    """Loads in the way that a test brings along."""

    def __init__(self, load: Callable[[ModelSettings], Any]) -> None:
        super().__init__()
        self._load = load

    def load(self, settings: ModelSettings) -> Any:
        return self._load(settings)


def absent(settings: ModelSettings) -> Any:
    raise ModelUnavailable("there are no weights.")


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (absent, "It cannot be loaded here: there are no weights. Give the check one that can: settings="),
        (lambda settings: {}["weights"], "load() with decoding 'generate' raises KeyError"),
        (lambda settings: "weights", "load() returns a str; it returns a fgvr_bench.interfaces.Model"),
        (
            lambda settings: Bright(settings.decoding, by_weights(next(LOADED))),
            "it answers otherwise when it is loaded anew",
        ),
        (lambda settings: Embeds(settings.decoding), "embed_texts() returns vectors that are not of unit length"),
        (lambda settings: Embeds(settings.decoding), "embed_texts() gives a text another vector beside other texts"),
    ],
)
def test_loading_is_looked_at(load: Callable[[ModelSettings], Any], said: str) -> None:
    assert said in faults(Loads(load))


class Identifies(Plugin):
    def __init__(self, identify: Callable[[ModelSettings], Any]) -> None:
        super().__init__()
        self._identify = identify

    def identify(self, settings: ModelSettings) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._identify(settings)
        return found


@pytest.mark.parametrize(
    ("identify", "said"),
    [
        (lambda settings: {}, "identify() takes --model-arg no-such-setting=1 without a word"),
        (lambda settings: {"by": random.random()}, "identify() says something else when it is asked again"),
        (lambda settings: {"by": random.random()}, "identify() moves the global generator of random"),
        (lambda settings: {"by": {1}}, "identify() returns what cannot be written as JSON"),
        (lambda settings: "mine", "identify() returns a str; it returns a mapping of JSON values"),
        (lambda settings: {"by": settings.args["size"]}, "identify() raises KeyError"),
    ],
)
def test_what_a_run_goes_by_is_looked_at(identify: Callable[[ModelSettings], Any], said: str) -> None:
    assert said in faults(Identifies(identify))


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(PluginFault) as caught:
        check_model(Plugin(drawn, replace(CARD, licence="unknown", title=" x")))
    assert len(caught.value.faults) >= 4
    first, *rest = str(caught.value).splitlines()
    assert first == f"Model 'brightness' gets {len(rest)} things wrong:"
    assert all(line.startswith("- ") for line in rest)
