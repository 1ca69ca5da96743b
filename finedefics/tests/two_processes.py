"""One of several processes that train together: writes its loss and its gradients; started by test_gathering.py.

python two_processes.py RANK WORLD_SIZE STORE INPUT OUTPUT
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from finedefics.contrast import Embeddings
from finedefics.objective import Temperatures, Weights, contrastive_terms, generation_loss, weighed
from torch import distributed as dist

GROUPS = ("image", "attribute", "category", "neg_attribute", "neg_category")


def losses_and_gradients(given: dict[str, Any], gather: bool) -> dict[str, torch.Tensor]:
    """Embed raw rows by one shared matrix, and return the loss with the gradients of matrix, head and temperatures."""
    torch.manual_seed(0)
    shared = torch.nn.Linear(5, 6).double()
    head = torch.nn.Linear(6, 9, bias=False).double()
    temperatures = Temperatures(0.2, 0.3).double().clamp_()
    embeddings = Embeddings(
        **{name: shared(given[name]) for name in GROUPS if name in given},
        **{name: value for name, value in given.items() if name.endswith("_ids") or name in {"image_rows", "pairs"}},
    )
    terms = contrastive_terms(embeddings, temperatures, gather=gather)
    generation = generation_loss(shared(given["states"]), given["targets"], head, gather=gather)
    losses = weighed(generation, terms, Weights())
    losses.total.backward()
    found = {f"grad_{n}": p.grad for part in (shared, head, temperatures) for n, p in part.named_parameters()}
    return {**losses.detached(), **{name: value for name, value in found.items() if value is not None}}


def main() -> None:
    """Take part as one process."""
    rank, world, store, given, output = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(world))
    torch.save([losses_and_gradients(case, gather=True) for case in torch.load(given)], output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
