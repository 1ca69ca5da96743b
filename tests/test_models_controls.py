"""The controls: what a run scores without looking."""

from __future__ import annotations

import json

import pytest

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import ModelSettings
from fgvr_bench.types import FileImage, Prompt, Stop
from fgvr_models.controls import AlwaysAPlugin, RandomPlugin


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"q{n}", FileImage(""), "Which?", ("A", "B", "C", "D"), ("w", "x", "y", "z")) for n in range(count)]


def test_always_a_always_answers_a_and_looks_at_nothing() -> None:
    model = AlwaysAPlugin().load(ModelSettings())
    responses = model.respond(prompts(3), None)
    assert [(each.completion, each.stop, each.tokens) for each in responses] == [("A", Stop.EOS, 1)] * 3
    assert not model.needs_images
    yes_no = Prompt("q", FileImage(""), "Is it?", (), ("yes", "no"))
    assert model.respond([yes_no], None)[0].completion == "yes"


def test_random_draws_evenly_and_the_same_for_a_question_in_every_run() -> None:
    many = prompts(4000)
    first = [each.completion for each in RandomPlugin().load(ModelSettings()).respond(many, None)]
    again = [each.completion for each in RandomPlugin().load(ModelSettings()).respond(many[::-1], None)][::-1]
    other = [each.completion for each in RandomPlugin().load(ModelSettings(args={"seed": "1"})).respond(many, None)]
    assert first == again != other
    for letter in "ABCD":
        assert 900 < first.count(letter) < 1100


def test_controls_say_that_they_are_and_refuse_settings() -> None:
    for plugin in (AlwaysAPlugin(), RandomPlugin()):
        assert plugin.card.title.startswith("Control")
        assert json.dumps(dict(plugin.identify(ModelSettings())))
        with pytest.raises(UsageError, match="has no setting 'temperature'"):
            plugin.identify(ModelSettings(args={"temperature": "1"}))
    assert RandomPlugin().identify(ModelSettings(args={"seed": "5"}))["seed"] == 5
