"""The model that the harness asks: batches are begun, and answered when the server has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from fgvr_bench.engines.openai_api.client import Client
from fgvr_bench.engines.openai_api.faults import Refused, Unanswered
from fgvr_bench.engines.openai_api.preparing import PicturePreparer
from fgvr_bench.engines.openai_api.wire import Wording
from fgvr_bench.interfaces import Model
from fgvr_bench.types import Json, Prompt, Response

Answers = list[Response]


class ServedModel(Model):
    """A model on a server; a batch is one question, so that each is saved as soon as it is answered."""

    batch_size = 1

    def __init__(self, client: Client, wording: Wording, encoding: str, facts: Mapping[str, Json]) -> None:
        self.client, self.wording = client, wording
        self.preparer: PicturePreparer = PicturePreparer(encoding)
        places = client.manners.concurrency
        self.at_once = places + max(2, places // 4)  # some stand ready, so that no place is ever free
        self._facts = facts

    def begin(self, prompts: Sequence[Prompt], batch: Any) -> Future[Any]:
        """Send the questions of a batch; they wait for their turn, not the caller."""
        return self.client.start(self._answer_all(list(prompts), list(batch)))

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Return the answers of a batch that was begun.

        Raises:
            Unanswered: the server gave no answer to any of the questions.
            FgvrError: it will answer none.
        """
        answers: Answers = batch.result()
        return answers

    def facts(self) -> Mapping[str, Json]:
        """Return what the server says of the model."""
        return self._facts

    def close(self) -> None:
        """Drop every connection."""
        self.client.close()

    async def _answer_all(self, prompts: list[Prompt], pictures: list[str]) -> Answers:
        found = await asyncio.gather(*map(self._answer, prompts, pictures), return_exceptions=True)
        failures = [one for one in found if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, Unanswered):
                raise failure
        if len(failures) == len(found):
            raise failures[0]
        return [
            one if isinstance(one, Response) else Response(prompt.question_id, error=f"model: {one}")
            for prompt, one in zip(prompts, found, strict=True)
        ]

    async def _answer(self, prompt: Prompt, picture: str) -> Response:
        try:
            body = self.wording.body(prompt, picture)
            return await self.client.post("/chat/completions", body, lambda content: self.wording.read(prompt, content))
        except Refused as refusal:
            return Response(prompt.question_id, error=f"server: {refusal}")
