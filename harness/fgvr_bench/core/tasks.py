"""Which task of which protocol, and how it is answered."""

from __future__ import annotations

import math

from fgvr_bench.core.host import Host
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, ModelCard, Task

MOST_ORDERS = 720
"""More orders of one question than all of six choices are refused: it is asked once in each."""


def find_task(host: Host, settings: RunSettings) -> Task:
    """Return the protocol's task of that name, or its first.

    Raises:
        UsageError: the protocol has no such task.
    """
    protocol = host.protocols[settings.protocol]
    name = settings.task or next(iter(protocol.tasks))
    if name not in protocol.tasks:
        raise UsageError(f"protocol {protocol.name} has no task {name!r}. {did_you_mean(name, protocol.tasks)}")
    return protocol.tasks[name]


def settle_decoding(card: ModelCard, task: Task, settings: RunSettings) -> Decoding:
    """Return how answers are had: as asked, or the model's first way that the task can score.

    Raises:
        UsageError: the model or the task cannot; the message says what they can.
    """
    able = [name for name in card.decodings if name in task.decodings]
    if not able:
        raise UsageError(
            f"model {card.name} answers by {', '.join(card.decodings)}; "
            f"task {task.name} can only score {', '.join(task.decodings)}.",
            hint="Choose another --task or another --model.",
        )
    name = settings.decoding or able[0]
    if name not in able:
        raise UsageError(
            f"model {card.name} on task {task.name} has no decoding {name!r}.", hint=f"Use --decoding {able[0]}."
        )
    return Decoding(
        name=name,
        # Where nothing is generated its length changes nothing, and must not make another run.
        max_new_tokens=(settings.max_new_tokens if name == "generate" else None) or task.max_new_tokens,
        settled=None if settings.full_text else task.settled,
    )


def count_orders(k: int, wish: str) -> int:
    """Return how many permutations ``cyclic`` (k), ``all`` (k!) or a number asks for.

    Raises:
        UsageError: it is none of these, or more than k! or than `MOST_ORDERS`.

    >>> count_orders(4, "cyclic"), count_orders(4, "all"), count_orders(4, "2")
    (4, 24, 2)
    """
    most = min(math.factorial(k), MOST_ORDERS)
    if wish in {"cyclic", "all"}:
        count = k if wish == "cyclic" else math.factorial(k)
    else:
        count = int(wish) if wish.isascii() and wish.isdigit() else 0
    if not 1 <= count <= most:
        raise UsageError(
            f"{wish!r} is no number of orders that {k} choices can be asked in.",
            hint=f"Use cyclic, all (of up to {MOST_ORDERS} orders) or a number from 1 to {most}.",
        )
    return count
