"""Hundreds of ways to put an answer, over options with awkward names, and over the published questions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fgvr_bench.protocols.parser import parse_choice

ROOT = Path(__file__).resolve().parents[1]
LETTERS = tuple("ABCD")
SETS = (
    ("Black_footed_Albatross", "Laysan_Albatross", "Sooty_Albatross", "Heermann_Gull"),
    ("petunia", "mexican petunia", "rose", "desert-rose"),
    ("F-16A/B", "F/A-18", "An-12", "Model B200"),
    ("Gulfstream V", "Gulfstream IV", "C-130", "DC-3"),
    ("Tesla Model S Sedan 2012", "Infiniti G Coupe IPL 2012", "Ram C/V Cargo Van Minivan 2012", "Acura TL Type-S 2008"),
    ("collie", "Border_collie", "black-and-tan_coonhound", "Shih-Tzu"),
    ("Abyssinian", "Bengal", "Birman", "Bombay"),
    ("colt's foot", "love in the mist", "bird of paradise", "black-eyed susan"),
)


def phrasings() -> list[tuple[str, str]]:
    lines = (ROOT / "tests" / "data" / "parsing" / "phrasings.txt").read_text().splitlines()
    return [(line[2:].replace("\\n", "\n"), line[0]) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(("phrasing", "sign"), phrasings(), ids=ascii)
def test_a_phrasing_is_read_whatever_the_names_and_wherever_they_stand(phrasing: str, sign: str) -> None:
    for labels in SETS:
        for target in range(4):
            other, third = (target + 1) % 4, (target + 2) % 4
            if other == 0:  # "A" and a name is an article and a name
                other, third = third, other
            answer = phrasing.format(
                name=labels[target],
                spaced=labels[target].replace("_", " ").lower(),
                letter=LETTERS[target],
                lower=LETTERS[target].lower(),
                other=labels[other],
                other_letter=LETTERS[other],
                third=labels[third],
                third_letter=LETTERS[third],
            )
            wanted = target if sign == "+" else None
            assert parse_choice(answer, LETTERS, labels).choice == wanted, (answer, labels)


def test_no_published_question_is_read_wrongly(reference: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of the page, on every 100th question."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import parser_phrasings as table

    outcomes, total = table.measure(reference, every=100)
    for phrasing in (*table.RIGHT, *table.NOTHING):
        shares = {
            outcome: sum(outcomes[phrasing, "fgvr-1", key, outcome] for key in table.KEYS) / total.total()
            for outcome in ("right", "wrong")
        }
        assert shares["wrong"] < 0.001, phrasing
        assert shares["right"] > 0.99, phrasing
    del sys.modules["parser_phrasings"]


def test_the_page_holds_the_table_of_all_published_questions() -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert "35,566 questions" in page.partition("<!-- parser_phrasings: begin -->")[2]
