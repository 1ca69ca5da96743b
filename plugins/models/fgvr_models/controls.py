"""Controls: what a run scores without looking.  They answer at once, so they measure the harness too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.engines.settings import read_arg, refuse_unknown
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Json, Prompt, Response, Stop


class AlwaysA(Model):
    """Answers ``A``, or the first choice where choices carry no letter."""

    batch_size = 1024
    needs_images = False

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer each prompt with its first letter."""
        return [_response(prompt, 0) for prompt in prompts]


class AtRandom(Model):
    """Answers with a choice drawn for the question: every run with one seed gives the same answers."""

    batch_size = 1024
    needs_images = False

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer each prompt with the choice that seed and question id draw."""
        return [_response(prompt, self._draw(prompt)) for prompt in prompts]

    def _draw(self, prompt: Prompt) -> int:
        drawn = hashlib.blake2b(f"{self._seed}\0{prompt.question_id}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) % max(1, len(prompt.choices))


def _response(prompt: Prompt, choice: int) -> Response:
    answers = prompt.letters or prompt.choices or ("A",)
    return Response(prompt.question_id, completion=answers[choice], stop=Stop.EOS, tokens=1)


class AlwaysAPlugin(ModelPlugin):
    """A control that never looks and has one answer."""

    card = ModelCard(
        name="always-a",
        title="Control: always answers A, without looking",
        licence="MIT",
        parameters=0,
        exposure="zero-shot",
        decodings=("generate",),
    )

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Refuse settings; there are none."""
        refuse_unknown(settings.args, (), self.card.name)
        return {"control": "always-a"}

    def load(self, settings: ModelSettings) -> Model:
        """Return the control; there is nothing to load."""
        return AlwaysA()


class RandomPlugin(ModelPlugin):
    """A control that draws its answers; ``--model-arg seed=N`` draws others."""

    card = ModelCard(
        name="random",
        title="Control: draws an answer, without looking",
        licence="MIT",
        parameters=0,
        exposure="zero-shot",
        decodings=("generate",),
    )

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return the seed."""
        refuse_unknown(settings.args, ("seed",), self.card.name)
        return {"control": "random", "seed": read_arg(settings.args, "seed", int, 0)}

    def load(self, settings: ModelSettings) -> Model:
        """Return the control; there is nothing to load."""
        return AtRandom(read_arg(settings.args, "seed", int, 0))


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register both controls."""
    register(AlwaysAPlugin())
    register(RandomPlugin())
