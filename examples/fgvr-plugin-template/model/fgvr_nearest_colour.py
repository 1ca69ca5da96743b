"""The model nearest-colour: names the colour that a picture has most of, until you put your own model here."""

from collections.abc import Callable, Sequence
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Prompt, Response, Stop

FGVR_BENCH_API = "1.0"  # the version of the plugin interface that this is written for


class NearestColourModel(Model):
    """The loaded model; one with weights holds them."""

    batch_size = 8

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer each prompt, in the same order; ``batch`` holds their pictures (Pillow, RGB)."""
        pairs = zip(prompts, batch, strict=True)
        return [Response(prompt.question_id, self.answer(prompt, image), stop=Stop.EOS) for prompt, image in pairs]

    def answer(self, prompt: Prompt, image: Any) -> str:
        """Return what the model says: here, the letter of the first choice that names the colour."""
        amounts = zip(image.resize((1, 1)).getpixel((0, 0)), ("red", "green", "blue"), strict=True)
        colour = max(amounts)[1]
        offered = zip(prompt.letters or prompt.choices, prompt.choices, strict=True)
        return next((answer for answer, choice in offered if colour in choice), colour)


class NearestColourPlugin(ModelPlugin):
    """What is known of the model before it is loaded."""

    card = ModelCard(
        name="nearest-colour",
        title="Nearest colour",
        licence="not chosen yet",  # of the model itself, beside the citation: whoever looks at a board asks for both
        exposure="zero-shot",
        decodings=("generate",),
    )

    def load(self, settings: ModelSettings) -> Model:
        """Load the model; import torch and the like here, never at the top: every list imports this file."""
        return NearestColourModel()


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Tell fgvr-bench of the model."""
    register(NearestColourPlugin())
