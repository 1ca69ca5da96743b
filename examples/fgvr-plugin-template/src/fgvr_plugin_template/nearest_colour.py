"""A model: answers with the choice whose colour is nearest to the picture's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fgvr_bench import hookimpl
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings, Preparer
from fgvr_bench.types import Json, Prompt, Response, Stop

if TYPE_CHECKING:
    from PIL.Image import Image


class MeanColour(Preparer):
    """What happens to an image in a worker process, before the model: here, everything."""

    def item(self, prompt: Prompt, image: Image) -> Any:
        """Return the picture's mean colour."""
        return image.resize((1, 1)).getpixel((0, 0))


class NearestColour(Model):
    """The loaded model; a real one would hold weights."""

    batch_size = 8
    preparer = MeanColour()

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer with a letter, as a language model would."""
        return [
            Response(prompt.question_id, self._letter(prompt, colour), stop=Stop.EOS, tokens=1)
            for prompt, colour in zip(prompts, batch, strict=True)
        ]

    def _letter(self, prompt: Prompt, colour: tuple[int, int, int]) -> str:
        from fgvr_plugin_template.paint_6 import PAINTS

        def distance(choice: str) -> int:
            known = PAINTS.get(choice, (0, 0, 0))
            return sum((here - there) ** 2 for here, there in zip(colour, known, strict=True))

        return prompt.letters[prompt.choices.index(min(prompt.choices, key=distance))]


class NearestColourPlugin(ModelPlugin):
    """The declaration: what is known of the model without loading it."""

    card = ModelCard(
        name="nearest-colour",
        title="Nearest colour",
        licence="MIT",
        parameters=0,
        exposure="tuned",
        decodings=("generate",),
    )

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return everything that can change an answer, and refuse settings that the model does not have."""
        if settings.args:
            raise UsageError(f"nearest-colour has no setting {next(iter(settings.args))!r}.")
        return {"rule": "nearest-colour-1"}

    def load(self, settings: ModelSettings) -> Model:
        """Return the model; a backend such as torch is imported here, never at the top of the file."""
        return NearestColour()


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Tell fgvr-bench of the model."""
    register(NearestColourPlugin())
