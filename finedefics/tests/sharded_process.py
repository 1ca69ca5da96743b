"""``fgvr-bench`` with accelerate's FSDP on processors; started by test_sharding.py.

accelerate shards on accelerators alone, though torch's FSDP does on processors as well (gloo): here it is told so.
"""

from __future__ import annotations

from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState

as_it_is = AcceleratorState.__init__


def on_processors_too(self: Any, *arguments: Any, **named: Any) -> None:
    as_it_is(self, *arguments, **named)
    if self.distributed_type == DistributedType.MULTI_CPU and named.get("fsdp_plugin") is not None:
        self.fsdp_plugin = named["fsdp_plugin"]
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


AcceleratorState.__init__ = on_processors_too  # type: ignore[method-assign]

if __name__ == "__main__":
    from fgvr_bench.cli.main import main

    main()
