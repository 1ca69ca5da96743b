"""Six formats of one board: whole, inert whatever a submitted file says, and put only where they belong."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from boards import to_csv, to_html, to_json, to_latex, to_markdown, to_text
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_leaderboard import edited, rows_of_runs, tables
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench.cli.leaderboard import FORMATS, leaderboard
from fgvr_bench.core.board import Table
from fgvr_bench.core.board_data import inert
from fgvr_bench.core.board_latex import latex
from fgvr_bench.core.board_text import markdown
from fgvr_bench.core.placing import LATEX_MARKERS, MARKERS, Place, around
from fgvr_bench.core.reported import read_reported
from fgvr_bench.errors import FgvrError

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b[0m\x07",
    "a | b || c",
    "`code` **bold** [link](javascript:alert(1)) ~~gone~~",
    "\\input{/etc/passwd}\\write18{id} $x^2$ 50% #1 a_b & ~ {",
    "[5mm] starred* \\\\",
    "{{ config }} {% raw %}",
    "right \u202eleft\u202c to left",
    "two\nlines\r\tand tabs",
    "عربى 日本 🦋",
]


def named(folder: Path, name: str) -> None:
    """Give a run another model name, as a submitted file may."""
    inputs = json.loads((folder / "run.json").read_text())["inputs"]
    edited(folder, model=name, inputs={**inputs, "model": {**inputs["model"], "name": name}})


@pytest.fixture
def hostile(tmp_path: Path) -> list[Table]:
    folder = play(tmp_path).results[0].folder
    for number, name in enumerate(HOSTILE):
        shutil.copytree(folder, tmp_path / str(number))
        named(tmp_path / str(number), name)
    shutil.rmtree(folder)
    found = tables(tmp_path)
    assert sum(line.rank is not None for line in found[0].lines) == len(HOSTILE)
    return found


def test_markdown_stays_a_table_and_text(hostile: list[Table]) -> None:
    text = to_markdown(hostile)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1, "a | in a name makes no column"
    assert not re.search(r"<(?!br>|sub>|/sub>)", text), "no tag but ours"
    assert "](" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_terminal_gets_no_control_character(hostile: list[Table]) -> None:
    text = to_text(hostile)
    assert all(char.isprintable() or char == "\n" for char in text)


def test_csv_has_no_formula_and_its_rows_stay_rows(hostile: list[Table]) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(hostile))))
    assert len({len(row) for row in rows}) == 1
    assert not any(cell[:1] in {"=", "+", "-", "@", "\t", "\r"} for row in rows for cell in row)
    assert len(rows_of_runs(to_csv(hostile))) == len(HOSTILE)


def test_json_is_read_back_with_every_name(hostile: list[Table]) -> None:
    content = json.loads(to_json(hostile))
    assert content["format"] == "fgvr-bench/leaderboard"
    models = [row["model"] for table in content["tables"] for block in table["blocks"] for row in block["rows"]]
    assert set(HOSTILE) <= set(models)
    assert to_json(hostile).isascii(), "nothing turns round or moves where it is printed"


class Page(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.said = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def test_a_page_shows_names_as_text_runs_nothing_and_fetches_nothing(hostile: list[Table]) -> None:
    page = Page()
    page.feed(to_html(hostile))
    assert page.open == []
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert not any(name.startswith("on") or name in {"src", "href"} for name in page.attributes)
    assert "<script>alert(1)</script>" in page.said
    assert "{{ config }} {% raw %}" in page.said
    assert "default-src 'none'" in to_html(hostile)
    assert "prefers-color-scheme: dark" in to_html(hostile)


def test_latex_has_no_command_of_a_name(hostile: list[Table]) -> None:
    text = to_latex(hostile)
    rows = [line for line in text.splitlines() if r" \\" in line and "multicolumn" not in line]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    commands = set(re.findall(r"\\([A-Za-z]+)", text))
    assert not commands & {"input", "write", "immediate", "def"}
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    ends = set(re.findall(r"\\\\\s*([\[*].*)", text))
    assert ends == {"[-3pt]"}, "no argument of a line's end but ours"
    assert text.count(r"\begin{") == text.count(r"\end{")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_is_typeset(hostile: list[Table], tmp_path: Path) -> None:
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + to_latex(hostile) + r"\end{document}"
    (tmp_path / "board.tex").write_text(document)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0


@given(st.text())
def test_escaped_latex_has_only_our_commands_and_even_braces(text: str) -> None:
    found = latex(text)
    bare = re.sub(r"\\[{}$&#%_]", "", found)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[&%#_]", found.replace("\\\\", ""))
    assert set(re.findall(r"\\([A-Za-z]+)", found)) <= {
        "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar",
        "textasciigrave", "approx", "times", "ldots",
    }  # fmt: skip


@given(st.text())
def test_escaped_markdown_is_one_line_without_markup(text: str) -> None:
    assert not set(markdown(text)) & set("<>|`*_[]\\~\n\r\x1b")


@given(st.text())
def test_no_cell_begins_a_formula(text: str) -> None:
    assert inert(text)[:1] not in {"=", "+", "-", "@", "\t", "\r"}


def test_the_best_is_bold_and_what_is_level_with_it_marked(tmp_path: Path) -> None:
    for name in ("one", "other"):
        play(tmp_path, ToyModel(name))
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    found = tables(tmp_path)
    best = [line.label for line in found[0].lines if line.figures[0] and line.figures[0].mark == "best"]
    assert best == ["one", "other"], "both at the highest figure"
    assert to_markdown(found).count("**100.00**") == 2
    assert to_latex(found).count(r"\textbf{100.00}") == 2
    assert to_html(found).count('class="best"') == 2
    assert to_text(found).count("100.00*") == 2


@pytest.mark.parametrize("kind", list(FORMATS))
def test_each_format_is_written_kept_current_and_written_over_itself(tmp_path: Path, kind: str) -> None:
    play(tmp_path / "results")
    endings = {"text": "txt", "markdown": "md", "csv": "csv", "json": "json", "latex": "tex", "html": "html"}
    output = tmp_path / f"board.{endings[kind]}"
    words = ["build", str(tmp_path / "results"), "--output", str(output)]
    words += ["--format", "text"] if kind == "text" else []
    assert CliRunner().invoke(leaderboard, words).exit_code == 0
    first = output.read_bytes()
    assert CliRunner().invoke(leaderboard, [*words, "--check"]).exit_code == 0
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    stale = CliRunner().invoke(leaderboard, [*words, "--check"])
    assert isinstance(stale.exception, FgvrError)
    assert output.read_bytes() == first
    assert CliRunner().invoke(leaderboard, words).exit_code == 0
    assert output.read_bytes() != first


def test_a_paper_keeps_its_text_around_the_markers_and_its_line_ends(tmp_path: Path) -> None:
    paper = tmp_path / "paper.tex"
    text = f"\\section{{A}}\r\n{LATEX_MARKERS.start}\r\nold\r\n{LATEX_MARKERS.end}\r\nThe end.\r\n"
    paper.write_bytes(text.encode())
    place = around(paper, "new", "latex")
    assert not isinstance(place, Place)
    assert (
        "".join(place.text(["new\n", "board\n"]))
        == f"\\section{{A}}\r\n{LATEX_MARKERS.start}\r\nnew\r\nboard\r\n{LATEX_MARKERS.end}\r\nThe end.\r\n"
    )


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("json", '{\n "name": "my settings"\n}\n'),
        ("latex", "\\documentclass{article}\n"),
        ("html", "<!doctype html>\n<p>mine"),
        ("csv", "model,mine\n"),
        ("text", "my notes\n"),
        ("markdown", f"{MARKERS.end} {MARKERS.start}"),
    ],
)
def test_a_file_that_is_no_board_has_no_place_for_one(tmp_path: Path, kind: str, before: str) -> None:
    play(tmp_path / "results")
    mine = tmp_path / "mine"
    mine.write_text(before)
    words = ["build", str(tmp_path / "results"), "--format", kind, "--output", str(mine)]
    done = CliRunner().invoke(leaderboard, words)
    assert isinstance(done.exception, FgvrError)
    assert "has no place for one" in str(done.exception)
    assert mine.read_text() == before


def published(folder: Path, *lines: dict[str, str]) -> None:
    header = {"format": "fgvr-bench/reported", "version": 1, "sources": {"N": "a notebook"}}
    (folder / "reported").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in (header, *lines))
    (folder / "reported" / "others.jsonl").write_text(text)


def test_reported_figures_stand_beneath_what_was_measured_and_are_never_ranked(tmp_path: Path) -> None:
    claim = {"model": "theirs", "dataset": "toy", "percent": "99.91", "source": "N"}
    ours = {"protocol": "fgvr-1", "options": "random"}
    published(tmp_path, {**claim, **ours}, claim)
    for name in ("one", "says-a"):
        play(tmp_path, ToyModel(name, Script("oracle" if name == "one" else "always-a")))
    result = CliRunner().invoke(leaderboard, ["build", str(tmp_path), "--reported", "--format", "json"])
    measured, claimed = json.loads(result.stdout)["tables"]
    *_, block = measured["blocks"]
    assert block["title"] == "reported by others, not run here, not ranked"
    (row,) = block["rows"]
    assert (row["model"], row["rank"], row["from"]) == ("theirs [N]", None, "reported")
    assert row["figures"][0] == {"share": 0.9991, "interval": None, "mark": None}
    assert measured["pairs_compared"] == 1
    assert "N: a notebook" in measured["caption"][-1]
    assert (claimed["protocol"], claimed["blocks"][0]["rows"][0]["model"]) == ("foci", "theirs [N]")
    assert "theirs" not in CliRunner().invoke(leaderboard, ["build", str(tmp_path)]).stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"model": "m", "dataset": "toy", "percent": "120", "source": "N"}, "120 is no percentage"),
        ({"model": "m", "dataset": "toy", "percent": "nan", "source": "N"}, "nan is no percentage"),
        ({"model": "m", "dataset": "toy", "percent": "12", "source": "X"}, "KeyError: 'X'"),
        ({"model": "m", "percent": "12", "source": "N"}, "dataset"),
    ],
)
def test_a_reported_figure_that_is_none_or_has_no_source_is_refused(
    tmp_path: Path, line: dict[str, str], said: str
) -> None:
    published(tmp_path, line)
    with pytest.raises(FgvrError, match=re.escape("others.jsonl, line 2")) as error:
        read_reported([tmp_path])
    assert said in str(error.value)


def test_the_published_figures_agree_with_the_averages_that_were_published_with_them() -> None:
    results = Path(__file__).resolve().parent.parent / "results"
    claims = read_reported([results])
    means = {
        model: sum(claim.share for claim in claims if claim.model == model) / 6 for model in ("Finedefics", "Idefics2")
    }
    assert means == {"Finedefics": pytest.approx(0.7684, abs=5e-5), "Idefics2": pytest.approx(0.6595, abs=6e-5)}
    assert len(claims) == 2 * 6 + 10 * 4


def test_two_datasets_of_one_board_have_their_own_notes(tmp_path: Path) -> None:
    play(tmp_path, dataset=ToyPlugin(broken=frozenset({"Amber/0001"})))
    play(tmp_path, dataset=ToyPlugin("toy-2"))
    text = to_markdown(tables(tmp_path))
    assert "oracle: toy 1 failed" in text
    assert "toy-2 1 failed" not in text
