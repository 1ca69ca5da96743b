"""``fgvr-bench`` with accelerate's FSDP and DeepSpeed on processors; started by test_sharding.py.

Accelerate shards on accelerators alone, though torch's FSDP and DeepSpeed's ZeRO do on processors as well (gloo): here
it is told so.  DeepSpeed's own exchange over shared memory, which it would compile first, is left out.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu")

from accelerate.state import AcceleratorState, DistributedType, PartialState

as_it_is = AcceleratorState.__init__
backend_as_it_is = PartialState._prepare_backend


def on_processors_too(self: Any, *arguments: Any, **named: Any) -> None:
    as_it_is(self, *arguments, **named)
    if self.distributed_type == DistributedType.MULTI_CPU and named.get("fsdp_plugin") is not None:
        self.fsdp_plugin = named["fsdp_plugin"]
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def gloo(self: Any, cpu: bool = False, *arguments: Any, **named: Any) -> Any:
    return backend_as_it_is(self, True, *arguments, **named)


AcceleratorState.__init__ = on_processors_too  # type: ignore[method-assign]
PartialState._prepare_backend = gloo  # type: ignore[method-assign]
with contextlib.suppress(ImportError):
    from deepspeed.comm import torch as exchange

    exchange.build_shm_op = lambda: None

if __name__ == "__main__":
    from fgvr_bench.cli.main import main

    main()
