"""A report in a real Chromium, from disk: it loads, sorts, filters, opens a question, and runs nobody's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Opened, browser, find_browser, opened
from report_toys import HOSTILE, HostilePlugin, hostile_host, play_hostile

from fgvr_bench.core.compare import compare
from fgvr_bench.core.index import Index
from fgvr_bench.core.results import read_runs
from fgvr_bench.report.build import ReportSettings, build_report
from fgvr_bench.report.flips import write_flips

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 96 questions whose names and answers are code, as a folder and as a file beside it."""
    find_browser()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FGVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("report with spaces & ünicode")
        play_hostile(folder / "results", each=24)
        host = hostile_host(HostilePlugin(each=24))
        with Index() as index:
            runs = index.read([folder / "results"], host).runs
        for out in (folder / "report", folder / "report.html"):
            build_report(host, runs, out, ReportSettings(title="<b>Hostile</b>"))
        write_flips(host, compare(host, *(each.run for each in runs)), folder / "flips.html")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Any) -> Iterator[Opened]:
    """An empty page of a desktop browser; its complaints fail the test."""
    with opened(chromium) as found:
        yield found


def index(report: Path) -> Path:
    return report / "report" / "index.html"


def run_key(report: Path, model: str) -> str:
    return next(run.run_id for run in read_runs(report / "results")[0] if run.model == model)


def gallery(page: Opened) -> Any:
    return page.page.locator("#view-questions .question")


def test_the_board_sorts_by_any_column_and_back(page: Opened, report: Path) -> None:
    page.go(index(report))
    models = page.page.locator("table.board tbody").first.locator("th bdi")
    before = models.all_text_contents()
    head = page.page.locator("table.board thead th").nth(2)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    best = models.all_text_contents()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert models.all_text_contents() == best[::-1]
    assert sorted(before) == sorted(best) == ["ranker", "speaker"]


@pytest.mark.parametrize("file", ["report/index.html", "report.html"], ids=["folder", "single file"])
def test_a_figure_opens_its_run_with_charts_pairs_and_pictures(page: Opened, report: Path, file: str) -> None:
    page.go(report / file)
    page.page.locator(f"table.board td a[href*='{run_key(report, 'ranker')}']").click()
    page.page.wait_for_selector("#view-run figure svg")
    titles = page.page.locator("#view-run h3").all_text_contents()
    assert {"Accuracy by class", "Position bias", "Calibration", "What decided", "What was run"} <= set(titles)
    page.page.locator(".pair img").first.wait_for()
    loaded = "image => image.complete && image.naturalWidth > 0"
    assert page.page.locator(".pair img").first.evaluate(loaded)


@pytest.mark.parametrize("file", ["report/index.html", "report.html"], ids=["folder", "single file"])
def test_filters_leave_the_questions_that_they_say(page: Opened, report: Path, file: str) -> None:
    key = run_key(report, "speaker")
    page.go(report / file, f"#view=questions&run={key}")
    assert page.page.locator(".found").text_content() == "96 questions of 96, 1 to 48 shown"
    for show, mark in (("wrong", "is-w"), ("unparsed", "is-u"), ("right", "is-r")):
        page.page.get_by_role("combobox", name="show", exact=True).select_option(show)
        page.page.wait_for_function(f"() => location.hash.includes('show={show}')")
        page.page.locator(f".question .mark.{mark}").first.wait_for()
        page.page.wait_for_function(
            "mark => [...document.querySelectorAll('.question .mark')].every(each => each.classList.contains(mark))",
            arg=mark,
        )
        assert gallery(page).count() > 0


def test_questions_that_one_model_got_right_and_the_other_wrong_can_be_found(page: Opened, report: Path) -> None:
    ranker, speaker = run_key(report, "ranker"), run_key(report, "speaker")
    page.go(index(report), f"#view=questions&run={ranker}")
    page.page.get_by_role("combobox", name="beside", exact=True).select_option(speaker)
    page.page.locator(".question .mark.is-r").first.wait_for()
    page.page.wait_for_function("() => location.hash.includes('show=won')")
    marks = (
        "cards => cards.map(card => [...card.querySelectorAll('.mark')].map(mark => mark.classList.contains('is-r')))"
    )
    page.page.wait_for_function("() => document.querySelector('.question').querySelectorAll('.mark').length === 2")
    found = gallery(page).evaluate_all(marks)
    assert found
    assert all(pair == [True, False] for pair in found)


def test_a_class_and_a_rule_narrow_the_choice(page: Opened, report: Path) -> None:
    key = run_key(report, "speaker")
    page.go(index(report), f"#view=questions&run={key}&class=3")
    assert page.page.locator(".found").text_content() == "24 questions of 96, 1 to 24 shown"
    assert set(page.page.locator(".question strong").all_text_contents()) == {"Plain finch"}
    page.to(f"#view=questions&run={key}&rule=letter")
    assert page.page.locator(".found").text_content() == "24 questions of 96, 1 to 24 shown"


def test_a_question_shows_picture_options_answer_and_the_rule_that_decided(page: Opened, report: Path) -> None:
    key = run_key(report, "speaker")
    page.go(index(report), f"#view=questions&run={key}&question=74")
    dialog = page.page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).text_content() == "Plain finch"
    assert dialog.locator(".options li").count() == 4
    assert dialog.locator(".options li.truth .option bdi").first.text_content() == "Plain finch"
    assert dialog.locator("blockquote").text_content() == "A"
    assert dialog.locator(".rule b").text_content() == "letter"
    assert "of 2 runs are right" in (dialog.locator(".others h3").text_content() or "")
    assert dialog.locator(".look img").evaluate("image => image.complete && image.naturalWidth > 0")


def test_keys_go_from_question_to_question_and_close(page: Opened, report: Path) -> None:
    state = f"#view=questions&run={run_key(report, 'speaker')}&class=3&question=72"
    page.go(index(report), state)
    for key, where in (("j", "73"), ("ArrowRight", "74"), ("k", "73"), ("ArrowLeft", "72")):
        page.page.keyboard.press(key)
        page.page.wait_for_function(f"() => new URLSearchParams(location.hash.slice(1)).get('question') === '{where}'")
        page.page.wait_for_function("() => document.body.dataset.ready === location.hash")
    page.page.keyboard.press("Escape")
    page.page.wait_for_function("() => !location.hash.includes('question=')")
    assert not page.page.locator("#question").evaluate("dialog => dialog.open")
    assert "class=3" in page.page.url
    assert page.page.evaluate("document.activeElement.dataset.place") == "72", "focus is where it was"
    page.page.keyboard.press("j")
    assert page.page.evaluate("document.activeElement.dataset.place") == "73"
    page.page.keyboard.press("Enter")
    page.page.wait_for_function("() => document.getElementById('question').open")
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("?")
    assert page.page.locator("#keys").evaluate("dialog => dialog.open")


def test_pages_of_questions_follow_one_another(page: Opened, report: Path) -> None:
    page.go(index(report), f"#view=questions&run={run_key(report, 'ranker')}")
    assert gallery(page).count() == 48
    page.page.get_by_role("link", name="next").click()
    page.page.wait_for_function("() => document.querySelector('.found').textContent.includes('49 to 96')")
    assert page.page.get_by_role("link", name="next").count() == 0


def test_a_link_to_a_state_opens_it_and_going_back_leaves_it(page: Opened, report: Path) -> None:
    first = f"#view=run&run={run_key(report, 'ranker')}"
    second = f"#view=questions&run={run_key(report, 'ranker')}&show=wrong"
    page.go(index(report), first)
    page.to(second)
    assert page.page.locator("#view-questions").is_visible()
    page.page.go_back()
    page.settle(first)
    assert page.page.locator("#view-run").is_visible()
    assert not page.page.locator("#view-questions").is_visible()


def test_a_state_that_there_is_none_of_is_no_dead_end(page: Opened, report: Path) -> None:
    for state in (
        "#view=questions&run=nobody&class=99&question=-1&show=toString&page=-5",
        "#view=nowhere&%3Cscript%3E",
    ):
        page.go(index(report), state)
        page.page.goto("about:blank")
    page.go(index(report), "#view=questions&column=__proto__")
    assert gallery(page).count() == 48


def test_data_that_were_not_copied_along_are_named(chromium: Any, report: Path) -> None:
    with opened(chromium) as page:
        page.go(index(report), "#view=run&run=gone")
        assert "data/runs/gone/figures.js is missing" in (page.page.get_by_role("alert").text_content() or "")
        page.complaints[:] = [each for each in page.complaints if "ERR_FILE_NOT_FOUND" not in each]


def test_names_and_answers_that_are_code_stay_text(page: Opened, report: Path) -> None:
    for file in ("report/index.html", "report.html"):
        key = run_key(report, "speaker")
        for state in (
            "",
            f"#view=run&run={key}",
            f"#view=questions&run={key}",
            f"#view=questions&run={key}&question=0",
        ):
            page.page.goto("about:blank")
            page.go(report / file, state)
            assert page.page.evaluate("window.broken") is None
            assert page.page.locator("main script, main i, main em, #question i").count() == 0
        assert page.page.locator("#question-title").text_content() == HOSTILE[0].replace("_", " ")
    page.page.goto((report / "flips.html").as_uri())
    assert page.page.evaluate("window.broken") is None
    assert HOSTILE[0] in (page.page.locator("body").text_content() or "")


def test_signs_that_turn_text_round_or_move_a_cursor_are_shown_as_signs(page: Opened, report: Path) -> None:
    page.go(index(report), f"#view=questions&run={run_key(report, 'speaker')}&question=49")
    assert page.page.locator("#question-title").text_content() == "⟨U+202E⟩evil ⟨U+2066⟩right to left"
    assert (
        page.page.locator("#question blockquote").text_content()
        == "⟨U+001B⟩[31mred⟨U+001B⟩[2J <b>bold</b> & ⟨U+202E⟩reversed"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_and_can_be_told_otherwise(chromium: Any, report: Path, scheme: str) -> None:
    brightness = "() => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    with opened(chromium, color_scheme=scheme) as page:
        page.go(index(report))
        assert (page.page.evaluate(brightness) < 128) == (scheme == "dark")
        other = "light" if scheme == "dark" else "dark"
        page.page.get_by_label("Appearance").select_option(other)
        assert (page.page.evaluate(brightness) < 128) == (other == "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(chromium: Any, report: Path, scheme: str) -> None:
    with opened(chromium, color_scheme=scheme) as page:
        page.go(index(report), f"#view=questions&run={run_key(report, 'speaker')}")
        found = page.page.evaluate(CONTRAST)
    assert {name: round(ratio, 2) for name, ratio in found.items() if ratio < 4.5} == {}


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => linear(parseInt(hex.slice(at, at + 2), 16) / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = {};
  for (const ground of ["--paper", "--raised", "--sunk"])
    for (const ink of ["--ink", "--quiet", "--link", "--right", "--wrong", "--unparsed", "--failed"]) {
      const [low, high] = [light(ground), light(ink)].sort((one, other) => one - other);
      found[`${ink} on ${ground}`] = (high + 0.05) / (low + 0.05);
    }
  return found;
}"""
"""Contrast of every ink on every ground, as WCAG 2 defines it."""


def test_a_phone_needs_no_sideways_scrolling(chromium: Any, report: Path) -> None:
    with opened(chromium, **PHONE) as page:
        key = run_key(report, "ranker")
        for state in (
            "",
            f"#view=run&run={key}",
            f"#view=questions&run={key}",
            f"#view=questions&run={key}&question=1",
        ):
            page.page.goto("about:blank")
            page.go(index(report), state)
            wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.page.evaluate(wide) <= 0, state


def test_a_screen_reader_finds_landmarks_names_and_captions(page: Opened, report: Path) -> None:
    key = run_key(report, "ranker")
    for state in ("", f"#view=run&run={key}", f"#view=questions&run={key}", f"#view=questions&run={key}&question=1"):
        page.page.goto("about:blank")
        page.go(index(report), state)
        assert page.page.evaluate(NAMELESS) == [], state
    page.page.goto("about:blank")
    page.go(index(report))
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.page.get_by_role(landmark).count() == 1, landmark
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.textContent") == "Skip to the content"


NAMELESS = """() => {
  const words = (each) => (each.getAttribute("aria-label") || each.textContent || "").trim();
  const labelled = (each) => each.getAttribute("aria-label") || each.getAttribute("aria-labelledby");
  const wrong = [];
  const expect = (selector, right) => {
    for (const each of document.querySelectorAll(selector))
      if (!each.closest("dialog:not([open])") && !right(each)) wrong.push(each.outerHTML.slice(0, 200));
  };
  expect("a, button", (each) => words(each) || each.querySelector("img[alt], [aria-label]"));
  expect("select, input", (each) => each.labels.length);
  expect("img", (each) => each.hasAttribute("alt"));
  expect("table", (each) => each.caption && words(each.caption));
  expect("main > section, main > section > section, nav, form, dialog", labelled);
  expect("[id]", (each) => document.querySelectorAll(`#${CSS.escape(each.id)}`).length === 1);
  expect("[aria-labelledby]", (each) => document.getElementById(each.getAttribute("aria-labelledby")));
  if (document.querySelectorAll("main > section:not([hidden]) h1").length !== 1) wrong.push("not one h1");
  return wrong;
}"""
"""Whatever has no name that could be read out."""
