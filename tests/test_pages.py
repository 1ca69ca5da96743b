"""What the pages show is true: commands can be typed, and the picture of the concepts is of a committed run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from fgvr_bench import __version__
from fgvr_bench.cli.main import fgvr_bench

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "results").glob("*.md"))]


PROGRAMS = "fgvr-bench|pip|python|make|torchrun|accelerate"


def typed(page: Path) -> list[str]:
    """Return each command in the code blocks of a page, with the remark that follows it."""
    blocks = re.findall(r"^ *```(?:sh|console|bash)?\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if re.match(rf" *(\$ )?({PROGRAMS}) ", line)]


def check(words: list[str]) -> str | None:
    """Return what is wrong with a command, or None."""
    command: click.Command = fgvr_bench
    context = click.Context(command, info_name="fgvr-bench")
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return f"{command.name} has no command {words[0]!r}"
        command, context = found, click.Context(found, info_name=words[0], parent=context)
        words = words[1:]
    known = {flag for each in command.get_params(context) for flag in (*each.opts, *each.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{context.command_path} has no {unknown}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_can_be_typed(page: Path) -> None:
    ours = [shlex.split(line, comments=True)[1:] for line in typed(page) if line.startswith("fgvr-bench ")]
    assert [problem for words in ours if (problem := check(words))] == []
    # who copies a line with its remark must not type the remark
    assert [line for line in typed(page) if re.search(r"\S {3,}(?![#$-])\S", line)] == []


def test_the_check_of_commands_sees_what_is_wrong() -> None:
    assert check(["run", "--model", "m", "-d", "moth-24", "--limit=3"]) is None
    assert check(["run", "--modle", "m"]) == "fgvr-bench run has no ['--modle']"
    assert check(["options", "mine"]) == "options has no command 'mine'"
    assert sum(len(typed(page)) for page in PAGES) > 100


def test_the_picture_of_the_concepts_shows_a_question_of_the_committed_results() -> None:
    picture = (ROOT / "docs" / "images" / "concepts.svg").read_text()
    [(question, run)] = re.findall(r"<!-- Question (\S+) of the committed run (\S+)\. -->", picture)
    lines = (ROOT / run / "responses.jsonl").read_text().splitlines()
    asked = next(each for line in lines if (each := json.loads(line))["question_id"].startswith(f"{question}#"))
    shown = [*(f"{letter}  {choice}" for letter, choice in zip("ABCD", asked["choices"], strict=True)), asked["label"]]
    assert [text for text in [*shown, f"“{asked['completion']}”"] if f">{text}<" not in picture] == []
    accuracy = json.loads((ROOT / run / "run.json").read_text())["metrics"]["accuracy"]
    assert f"{accuracy:.2%}".replace("%", " %") in picture


def test_what_is_to_be_cited_is_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (__version__, "MIT")
    page = (ROOT / "docs" / "citing.md").read_text()
    assert [each["title"] for each in cited["references"] if each["title"] not in page] == []
