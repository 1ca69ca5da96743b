"""Requests side by side: a rate limit, a pause after "too many", back-off with jitter, time-outs.

They live on an event loop in a thread of its own, which starts with the first request: worker processes that read
images are forked before it, and a second Ctrl-C ends it at once whatever a server still owes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from fgvr_bench.core.files import parse_json
from fgvr_bench.engines.openai_api.address import Address
from fgvr_bench.engines.openai_api.background import Background
from fgvr_bench.engines.openai_api.faults import Lost, Retry, Unanswered, fault_of, words_of
from fgvr_bench.engines.openai_api.keys import Key
from fgvr_bench.engines.openai_api.manners import Manners
from fgvr_bench.engines.openai_api.pace import Pace
from fgvr_bench.errors import FgvrError, ModelUnavailable

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

CONNECT_SECONDS = 10.0
LIST_SECONDS = 30.0
"""For what a server knows without computing."""
LONGEST_BACK_OFF = 60.0
LONGEST_WAIT = 900.0
"""A server that asks to wait longer ends the run, which goes on when the same command is typed then."""


class Client:
    """Asks one server; close it when done."""

    def __init__(self, address: Address, key: Key | None, manners: Manners) -> None:
        self.address, self.manners = address, manners
        self.listed: list[str] = []
        """Models that the server lists, for its errors."""
        self._key = key
        self._jitter = random.Random()  # noqa: S311 - spreads requests in time; decides no answer
        self._background: Background | None = None
        self._failed: FgvrError | None = None
        self._asked: tuple[httpx2.AsyncClient, asyncio.Semaphore, Pace] | None = None

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start work that calls `get` and `post`, and return what will hold its result."""
        if self._background is None:
            self._background = Background()
        return self._background.start(work)

    async def get(self, path: str) -> Any:
        """Return what the server answers to a GET, decoded; patient only with one that says that it is busy.

        Raises:
            Refused, Unanswered: it has no such thing, or fails over it.
            FgvrError: nobody answers there, or the key is refused.
        """
        return await self._persist("GET", path, None, lambda content: content, patient=False)

    async def post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Send a request until `read` is content with its answer.

        Raises:
            Refused: the server will not answer this one.
            Unanswered: it was asked often enough.
            FgvrError: no request will be answered; from then on none is tried again.
        """
        return await self._persist("POST", path, json.dumps(body).encode(), read, patient=True)

    def close(self) -> None:
        """Drop what is under way and every connection."""
        if self._background is not None:
            self._background.close(self._disconnect)
            self._background = self._asked = None

    async def _persist(self, method: str, path: str, body: bytes | None, read: Callable[[Any], T], patient: bool) -> T:
        http, places, pace = self._connected()
        tried = 0
        while True:
            try:
                async with places:
                    await pace.turn()
                    if self._failed is not None:
                        raise self._failed
                    return read(await self._once(http, method, path, body))
            except Retry as fault:
                tried += 1
                if tried > self.manners.retries or not (patient or fault.busy):
                    raise self._given_up(fault, tried) from None
                await asyncio.sleep(self._wait(fault, tried, pace))
            except FgvrError as error:
                self._failed = self._failed or error
                raise

    def _wait(self, fault: Retry, tried: int, pace: Pace) -> float:
        """Return the seconds before a question is asked again; let all others wait too where the server says so.

        Raises:
            FgvrError: the server asks for more patience than a run has.
        """
        own: float = min(LONGEST_BACK_OFF, self.manners.retry_wait * 2 ** (tried - 1)) * self._jitter.uniform(0.5, 1.0)
        if fault.wait is None:
            return own
        if fault.wait > LONGEST_WAIT:
            self._failed = FgvrError(
                f"{self.address.place} asks to wait {fault.wait:,.0f} seconds ({fault}).",
                hint="What was answered is kept; type the same command again then.",
            )
            raise self._failed
        if fault.busy:
            pace.hold(fault.wait)
        return max(own, fault.wait)

    def _given_up(self, fault: Retry, tried: int) -> Exception:
        """Return what it means that a request failed for the last time."""
        times = f"{tried} times" if tried > 1 else "once"
        if isinstance(fault, Lost):
            self._failed = ModelUnavailable(
                f"no server answers at {self.address.url}: {fault}.", hint=self._start_hint()
            )
        elif fault.busy:
            self._failed = ModelUnavailable(
                f"{self.address.place} was asked {times} and could not answer: {fault}.",
                hint="What was answered is kept; type the same command again to go on, if need be with fewer requests: "
                "--model-arg concurrency=N or requests_per_minute=N.",
            )
        else:
            return Unanswered(f"asked {times}, {self.address.place} gave no answer: {fault}")
        return self._failed

    def _start_hint(self) -> str:
        again = "then type the same command again; what was answered before is kept."
        if self.address.here:
            port = f" --port {self.address.port}" if self.address.port else ""
            return f"Start it, for example: vllm serve {self.address.model}{port}; {again}"
        return f"Check the url and the network, {again}"

    async def _once(self, http: httpx2.AsyncClient, method: str, path: str, body: bytes | None) -> Any:
        """Send one request and return its decoded answer.

        Raises:
            Retry, Refused, FgvrError: see `fault_of`.
        """
        import httpx2

        seconds = min(self.manners.timeout, LIST_SECONDS) if body is None else self.manners.timeout
        try:
            async with asyncio.timeout(seconds):
                answer = await http.request(method, f"{self.address.url}{path}", content=body)
        except TimeoutError:
            late = f"no answer within {seconds:g} seconds"
            raise (Lost(late) if body is None else Retry(late)) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Lost(_reason(error)) from None
        except httpx2.RequestError as error:
            raise Retry(f"the connection broke ({_reason(error)})") from None
        text = self._hidden(answer.text)
        if not answer.is_success:
            raise self._fault(answer.status_code, dict(answer.headers), text)
        return self._content(answer, text)

    def _content(self, answer: httpx2.Response, text: str) -> Any:
        try:
            content = parse_json(text)
        except ValueError:
            if "html" in answer.headers.get("content-type", "").lower():
                raise ModelUnavailable(
                    f"{self.address.url} answers with a web page ({words_of(text)[:80]}), as no model's server does.",
                    hint="Check the url; most servers answer below /v1.",
                ) from None
            raise Retry("half an answer (no whole JSON)") from None
        if isinstance(content, dict) and content.get("error") and not content.get("choices"):
            error = content["error"]  # some gateways say so below a status of 200
            code = error.get("code") if isinstance(error, dict) else None
            raise self._fault(code if isinstance(code, int) and 400 <= code < 600 else 500, {}, text)
        return content

    def _fault(self, status: int, headers: dict[str, str], text: str) -> Exception:
        variable = self._key.variable if self._key else None
        return fault_of(status, headers, text, self.address, self.listed, variable)

    def _hidden(self, text: str) -> str:
        return self._key.hide(text) if self._key else text

    def _connected(self) -> tuple[httpx2.AsyncClient, asyncio.Semaphore, Pace]:
        """Return connections, places and pace; made on the loop that they belong to."""
        if self._asked is None:
            import httpx2

            http = httpx2.AsyncClient(
                headers={"Content-Type": "application/json", **(self._key.headers() if self._key else {})},
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self.manners.concurrency),
                trust_env=not self.address.here,  # no proxy stands between this machine and itself
            )
            places = asyncio.Semaphore(self.manners.concurrency)
            self._asked = http, places, Pace(self.manners.requests_per_minute)
        return self._asked

    async def _disconnect(self) -> None:
        if self._asked is not None:
            await self._asked[0].aclose()


def _reason(error: BaseException) -> str:
    """Return the words of the deepest cause: above it they say no more than that all attempts failed."""
    while isinstance(cause := error.__cause__ or error.__context__, Exception):
        error = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause
    words = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        words = os.strerror(error.errno) if error.errno > 0 else error.strerror or words
    return " ".join(words.split()) or type(error).__name__
