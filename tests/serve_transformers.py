"""Run ``transformers serve`` without torchvision, so that Pillow reads images: its compiled part is not everywhere."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec

found = importlib.util.find_spec


def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
    return None if name.partition(".")[0] == "torchvision" else found(name, package)


importlib.util.find_spec = find_spec

from transformers.cli.transformers import main  # noqa: E402

sys.argv = ["transformers", "serve", *sys.argv[1:]]
main()
