"""The paper in miniature, step by step: ``python -m benchmarks.miniature STEP``.

python -m benchmarks.miniature base --out FOLDER --device cuda      the model that sees and knows (minutes)
python -m benchmarks.miniature compare --base FOLDER --suite all    the paper's claim (hours of a core)
python -m benchmarks.miniature summary                              tables and plots of it
python -m benchmarks.miniature all --out FOLDER --device cuda       base and comparison from nothing
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.miniature import base, compare, summary, whole


def main() -> int:
    """Run a step."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.miniature", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("base", help="train the base model, measure it, write its checkpoint")
    base.arguments(step)
    step.set_defaults(run=base.run)
    for name, module, help_text in (
        ("compare", compare, "tune the base model in several ways, measure each"),
        ("all", whole, "both of these, from nothing"),
        ("summary", summary, "print the tables of what was measured, draw its plots"),
    ):
        step = steps.add_parser(name, help=help_text)
        module.arguments(step)
        step.set_defaults(run=module.run)
    settings = parser.parse_args()
    status: int = settings.run(settings)
    return status


if __name__ == "__main__":
    sys.exit(main())
