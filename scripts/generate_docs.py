"""Write what the docs say about commands and plugins, from the commands and plugins themselves, and the examples.

    python scripts/generate_docs.py            # bring the pages up to date
    python scripts/generate_docs.py --check    # exit 1 where one is not

docs/README.md shares parts of README.md.
Each piece stands between ``<!-- generated:NAME -->`` and ``<!-- /generated -->`` in its page.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from fgvr_bench.cli.main import COMMANDS, fgvr_bench
from fgvr_bench.core.host import host
from fgvr_bench.core.names import short_count
from fgvr_bench.core.registry import Registry
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.new_plugin import Draft, render

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("README", "commands", "models", "datasets", "plugins", "api", "citing", "miniature")
    ),
)

BYTES = {"16 bits": 2.0, "8 bits, at least": 1.0, "4 bits, at least": 0.5625}
"""Bytes a weight: NF4 has half a byte and one 32-bit scale for 64 weights."""


def bundled_plugins(registry: Registry[Any]) -> list[Any]:
    """Return what this project brings along, whatever else is installed."""
    return [plugin for plugin in registry if registry.owner(plugin.card.name).startswith("fgvr-bench ")]


def bundled(registry: Registry[Any]) -> list[Any]:
    """Return the cards of what this project brings along."""
    return [plugin.card for plugin in bundled_plugins(registry)]


def table(headers: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(escaped, headers=headers, tablefmt="github", disable_numparse=True)


def models() -> str:
    """Return a row a bundled model."""
    rows = [
        [
            f"`{card.name}`",
            card.title,
            f"`{card.checkpoint}`" if card.checkpoint else "",
            short_count(card.parameters),
            card.exposure,
            ", ".join(card.decodings),
            card.licence,
        ]
        for card in bundled(host().models)
    ]
    return table(["model", "title", "checkpoint", "parameters", "exposure", "decodings", "licence"], rows)


def model_weights() -> str:
    """Return a row a bundled checkpoint of transformers: the memory of its weights, its settings, its template."""
    rows = []
    for plugin in bundled_plugins(host().models):
        if not isinstance(plugin, HuggingFacePlugin) or not plugin.card.checkpoint:
            continue
        count = plugin.card.parameters
        linear = [f"{count * size / 1e9:.1f} GB" for size in BYTES.values()] if count else [""] * len(BYTES)
        source = plugin.template_source
        own = "template comes with the checkpoint, not checked here"
        template = f"checked against its [source]({source})" if source else own
        settings = ", ".join(f"`{name}`" for name in plugin.image_settings)
        rows.append([f"`{plugin.card.name}`", *linear, settings, template])
    return table(["model", *BYTES, "image settings", "prompt"], rows)


def datasets() -> str:
    """Return a row a bundled dataset."""
    rows = [
        [
            f"`{card.name}`",
            f"[{card.title}]({card.homepage})" if card.homepage else card.title,
            str(card.classes or ""),
            ", ".join(f"{count:,} {split}" for split, count in card.images.items()),
            card.options,
            card.licence,
        ]
        for card in bundled(host().datasets)
    ]
    return table(["dataset", "title", "classes", "images", "options", "licence"], rows)


def citations_of_datasets() -> str:
    """Return what to cite for each bundled dataset that others published."""
    entries = [card.citation for card in bundled(host().datasets) if card.citation]
    # our own are in CITATION.cff
    return "\n\n".join(f"```bibtex\n{entry}\n```" for entry in entries if not entry.startswith("fgvr-bench:"))


def citations_of_models() -> str:
    """Return a row a work on bundled models."""
    names: dict[str, list[str]] = {}
    for card in bundled(host().models):
        if card.citation and not card.citation.startswith("fgvr-bench:"):
            names.setdefault(card.citation, []).append(f"`{card.name}`")
    return table(["models", "cite"], [[", ".join(given), citation] for citation, given in names.items()])


def commands() -> str:
    """Return the help of every built-in command."""
    pieces: list[str] = []
    root = click.Context(fgvr_bench, info_name="fgvr-bench")
    for name in COMMANDS:
        command = fgvr_bench.get_command(root, name)
        if command is not None:
            pieces += _help(command, click.Context(command, info_name=name, parent=root, max_content_width=100))
    return "\n\n".join(pieces)


def _help(command: click.Command, context: click.Context) -> list[str]:
    title = f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```"
    pieces = [re.sub(r"[ \t]+$", "", title, flags=re.MULTILINE)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                child = click.Context(found, info_name=name, parent=context, max_content_width=100)
                pieces += _help(found, child)
    return pieces


def part_of_readme(name: str) -> str:
    """Return what stands between ``<!-- part:NAME -->`` and ``<!-- /part -->`` in the README, for a page of docs/."""
    found = re.search(rf"<!-- part:{name} -->\n(.*?)\n<!-- /part -->", (ROOT / "README.md").read_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no part {name!r}")
    return re.sub(r"(?<=\]\()(?!https?:|#)(docs/)?", lambda link: "" if link[1] else "../", found[1])


def api() -> str:
    """Return the public interface, from its docstrings."""
    from api_reference import reference

    return reference()


def miniature(name: str) -> str:
    """Return a table of the paper in miniature, from its committed results."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from benchmarks.miniature import compare, second

    return second.tables(*second.read(compare.RESULTS / "second")).get(name, "Not measured yet.")


PIECES: dict[str, Callable[[], str]] = {
    "api": api,
    "models": models,
    "model-weights": model_weights,
    "datasets": datasets,
    "citations-datasets": citations_of_datasets,
    "citations-models": citations_of_models,
    "commands": commands,
    "readme-what": partial(part_of_readme, "what"),
    "readme-rely": partial(part_of_readme, "rely"),
    **{
        f"miniature-{name}": partial(miniature, name)
        for name in ("shots", "held-out", "ablations", "four-bits", "exploration", "confirmation")
    },
}


def brought_up_to_date(text: str) -> str:
    """Return a page's text with every generated piece made anew."""

    def replace(match: re.Match[str]) -> str:
        return f"{match[1]}\n{PIECES[match[2]]()}\n<!-- /generated -->"

    return re.sub(r"(<!-- generated:([\w-]+) -->)\n.*?<!-- /generated -->", replace, text, flags=re.DOTALL)


EXAMPLES = ROOT / "examples" / "fgvr-plugin-template"
EXAMPLE_NAMES = {
    "model": "nearest-colour",
    "dataset": "paint-6",
    "protocol": "plain-letter",
    "metric": "answered",
    "miner": "alphabet",
}


def examples() -> dict[Path, str]:
    """Return the files of the example plugins, as ``fgvr-bench new-plugin`` writes them."""
    return {
        EXAMPLES / kind / path: text
        for kind, name in EXAMPLE_NAMES.items()
        for path, text in render(Draft(kind, name)).items()
    }


def pages() -> dict[Path, str]:
    """Return every page that has a generated piece, brought up to date."""
    there = [ROOT / name for name in PAGES if (ROOT / name).exists()]
    return {path: brought_up_to_date(path.read_text()) for path in there}


def main() -> None:
    """Write or check all pages and the example plugins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 where a page is not current")
    check = parser.parse_args().check
    stale = False
    for path, after in {**pages(), **examples()}.items():
        name = path.relative_to(ROOT).as_posix()
        before = path.read_text() if path.exists() else ""
        if before == after:
            continue
        stale = True
        if check:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, "as it should be", lineterm="")
            sys.stdout.write("\n".join(lines) + "\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(after)
            sys.stdout.write(f"written: {name}\n")
    if stale and check:
        sys.exit("Some pages are not current. Type: make docs")


if __name__ == "__main__":
    main()
