"""The declaration: settings, the run's identity, and the check that the server is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fgvr_bench.core.files import parse_json
from fgvr_bench.engines.openai_api.address import Address, parse_address
from fgvr_bench.engines.openai_api.faults import NoSuchPath, Refused, Unanswered, offered
from fgvr_bench.engines.openai_api.keys import OPENAI, OWN, find_key
from fgvr_bench.engines.openai_api.manners import Manners
from fgvr_bench.engines.openai_api.preparing import ENCODINGS
from fgvr_bench.engines.openai_api.wire import OWN_FIELDS, Wording
from fgvr_bench.engines.settings import read_arg, refuse_unknown
from fgvr_bench.errors import ModelUnavailable, UsageError
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Json

if TYPE_CHECKING:
    from fgvr_bench.engines.openai_api.client import Client

N = TypeVar("N", int, float)

DETAILS = ("auto", "low", "high", "original")
KNOWN = (
    "concurrency",
    "requests_per_minute",
    "retries",
    "retry_wait",
    "timeout",
    "seed",
    "top_logprobs",
    "image_detail",
    "image_encoding",
    "extra_body",
)
HOLDS_WHAT_IT_LISTS = frozenset({"vllm", "sglang", "llamacpp"})
"""Servers, as ``owned_by`` names them, that answer as a listed model whatever name is asked, or not at all."""
WHERE_KEYS_BELONG = f"A key belongs into the environment: {OWN} (or {OPENAI} for OpenAI's own server)."


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that name and settings decide."""

    address: Address
    wording: Wording
    manners: Manners
    encoding: str


@dataclass(frozen=True, slots=True)
class OpenAIPlugin(ModelPlugin):
    """Models of OpenAI-compatible servers."""

    card: ModelCard
    served = True

    def plan(self, settings: ModelSettings) -> Plan:
        """Settle name and settings.

        Raises:
            UsageError: a name or a setting that cannot be; settings that belong to the server.
        """
        args = settings.args
        if any(word in key.lower() for key in args for word in ("key", "secret", "password", "authorization")):
            raise UsageError(f"{self.card.name} takes no key as a setting.", hint=WHERE_KEYS_BELONG)
        refuse_unknown(args, KNOWN, self.card.name)
        _refuse_the_servers_own(settings)
        address = parse_address(settings.argument)
        key = find_key(address)
        if key is not None and key.is_in((settings.argument or "", *args.values())):
            raise UsageError(f"the key of {key.variable} stands in the command itself.", hint=WHERE_KEYS_BELONG)
        defaults = Manners()
        return Plan(
            address=address,
            wording=Wording(
                model=address.model,
                ranks=settings.decoding.name == "logprob",
                max_tokens=settings.decoding.max_new_tokens,
                seed=read_arg(args, "seed", int, 0),
                top_logprobs=read_arg(args, "top_logprobs", _number(int, 1), 20),
                image_detail=_choice(args, "image_detail", DETAILS),
                extra_body=read_arg(args, "extra_body", _fields, {}),
            ),
            manners=Manners(
                concurrency=read_arg(args, "concurrency", _number(int, 1), defaults.concurrency),
                requests_per_minute=read_arg(args, "requests_per_minute", _number(float, 1e-3), None),
                retries=read_arg(args, "retries", _number(int, 0), defaults.retries),
                retry_wait=read_arg(args, "retry_wait", _number(float, 0.0), defaults.retry_wait),
                timeout=read_arg(args, "timeout", _number(float, 1e-3), defaults.timeout),
            ),
            encoding=_choice(args, "image_encoding", ENCODINGS) or ENCODINGS[0],
        )

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return the model's name, host and path of its server, and what goes into its requests; no credentials."""
        plan = self.plan(settings)
        wording = plan.wording
        identity: dict[str, Json] = {
            "engine": "openai-api",
            "checkpoint": wording.model,
            "server": plan.address.place,
            "decoding": settings.decoding.name,
            "temperature": 0,
            "seed": wording.seed,
            "image_encoding": plan.encoding,
            "image_detail": wording.image_detail,
            "extra_body": dict(wording.extra_body),
        }
        if wording.ranks:
            identity["top_logprobs"] = wording.top_logprobs
        return identity

    def load(self, settings: ModelSettings) -> Model:
        """Ask the server which models it has, and return the one that was named.

        Raises:
            ModelUnavailable: nobody answers, the key is refused, or the server has no such model.
        """
        from fgvr_bench.engines.openai_api.client import Client
        from fgvr_bench.engines.openai_api.model import ServedModel

        plan = self.plan(settings)
        key = find_key(plan.address)
        first = Client(plan.address, key, plan.manners)
        try:
            models = first.start(_listed(first)).result()
        finally:
            first.close()
        _check_listed(plan.address, models)
        client = Client(plan.address, key, plan.manners)
        client.listed = list(models)
        return ServedModel(client, plan.wording, plan.encoding, _facts(models.get(plan.address.model, {})))


async def _listed(client: Client) -> dict[str, dict[str, Any]]:
    """Return what the server says of each model that it lists; nothing where it keeps no list, or fails over it."""
    try:
        content = await client.get("/models")
    except (NoSuchPath, Refused, Unanswered):
        return {}
    entries = content.get("data") if isinstance(content, dict) else content
    entries = entries if isinstance(entries, list) else []
    return {entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)}


def _check_listed(address: Address, models: Mapping[str, Mapping[str, Any]]) -> None:
    owners = {entry.get("owned_by") for entry in models.values()}
    if models and address.model not in models and owners <= HOLDS_WHAT_IT_LISTS:
        raise ModelUnavailable(
            f"{address.place} has no model {address.model}.", hint=offered(address.model, list(models))
        )


def _facts(entry: Mapping[str, Any]) -> dict[str, Json]:
    """Return of a server's entry what tells which model it is."""
    kept = {name: entry.get(name) for name in ("owned_by", "root", "max_model_len")}
    return {name: value for name, value in kept.items() if isinstance(value, str | int)}


def _refuse_the_servers_own(settings: ModelSettings) -> None:
    given = {
        "--checkpoint": settings.checkpoint is not None,
        "--revision": settings.revision is not None,
        "--dtype": settings.dtype != "auto",
        "--trust-remote-code": settings.trust_remote_code,
    }
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} is for models that are loaded here.", hint="Give it to the server instead.")


def _number(kind: Callable[[str], N], least: N) -> Callable[[str], N]:
    """Return a reader of numbers of at least `least`."""

    def read(text: str) -> N:
        value = kind(text)
        if not least <= value < float("inf"):
            raise ValueError(f"it has to be a number of at least {least:g}")
        return value

    return read


def _choice(args: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> str | None:
    value = args.get(key)
    if value is not None and value not in allowed:
        raise UsageError(f"{key}={value} is not possible.", hint=f"Choose {', '.join(allowed)}.")
    return value


def _fields(text: str) -> dict[str, Json]:
    """Read further fields of a request.

    Raises:
        ValueError: no JSON object, or fields that are settled elsewhere.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError('write a JSON object, such as {"top_k": 1}')
    if settled := sorted(OWN_FIELDS & value.keys()):
        raise ValueError(f"{', '.join(settled)} is not for extra_body to say")
    return value
