"""A loaded model that outlasts a run: ``--dataset all`` loads it once, not once a dataset."""

from __future__ import annotations

from dataclasses import replace

from fgvr_bench.interfaces import Decoding, Model, ModelPlugin, ModelSettings


class Shelf:
    """Holds the model that was used last, as long as the next run asks for the same."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._of: tuple[ModelPlugin, ModelSettings] | None = None

    def load(self, plugin: ModelPlugin, settings: ModelSettings) -> Model:
        """Return the model of these settings: the one that is here, where it can go on with them, or a new one.

        Raises:
            FgvrError: whatever the plugin raises when it loads.
        """
        wanted = (plugin, replace(settings, decoding=Decoding()))
        model, self._model = self._model, None
        if model is not None and self._of == wanted and model.go_on(settings.decoding):
            return model
        if model is not None:
            model.close()
        self._of = wanted
        return plugin.load(settings)

    def put_back(self, model: Model) -> None:
        """Keep a model that a run is done with."""
        self._model = model

    def close(self) -> None:
        """Let go of the model that is here."""
        if self._model is not None:
            self._model.close()
            self._model = None
