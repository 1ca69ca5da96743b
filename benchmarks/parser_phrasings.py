"""How three parsers read right answers that are put in many ways, over all published questions.

    python benchmarks/parser_phrasings.py [--reference FOLDER] [--every N] [--write | --check]

Every question of the six published option sets is answered in each phrasing, with its choices in the seeded order
of protocol ``fgvr-1``; a parser reads the right letter, a wrong one, or none.  Beside the parser of ``fgvr-1`` stand
the rule of the published code (protocol ``foci``) and the multiple-choice rule of lmms-eval (its MMMU tasks, commit
02bc1c05), made again from its behaviour; where that rule finds nothing it picks a letter at random (seeded here).
``--write`` puts the tables into docs/protocols.md, ``--check`` exits with 1 where they are not what comes out.
Takes two to three minutes on one core; no image and no model is needed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from fgvr_bench.protocols.foci import UNREAD, parse_letter
from fgvr_bench.protocols.ordering import draw, make_question_id, seeded_order
from fgvr_bench.protocols.parser import parse_choice
from fgvr_bench.types import make_example_id

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "protocols.md"
BEGIN, END = "<!-- parser_phrasings: begin -->\n", "<!-- parser_phrasings: end -->\n"
KEYS = ("aircraft-102", "bird-200", "car-196", "dog-120", "flower-102", "pet-37")
LETTERS = "ABCD"

NAME = "{name}"
RIGHT = (
    NAME,
    "{spaced}",
    "{letter}",
    "({letter})",
    "**{letter}**",
    "{letter}. {name}",
    "Answer: {letter}",
    "The answer is {letter}.",
    "The answer is {name}.",
    "A {name} is shown.",
    "I think it's {letter}, the {name}.",
    "{name}, not {other}.",
    "It is not {other} but {name}.",
    "It resembles {other}, but it is {name}.",
    "{letter}. {name} is the description that best matches the image.",
    "{other_letter} looks similar, but the answer is {letter}.",
    "{other_letter}. No, wait: {letter}.",
    r"The pattern fits best. $\boxed{{{letter}}}$",
    "<think>It could be {other} or {name}. The head is that of {other}.</think>\n<answer>{letter}</answer>",
    "Let me compare. {other} comes to mind because of the shape, but its colours differ. {third} can be ruled out as "
    "well. So the image shows {name}.",
    "Option {other_letter} ({other}) does not match the pattern. Option {letter} ({name}) does. Therefore, the answer "
    "is {letter}.",
    "1. {other}: larger than what is shown.\n2. {third}: another colour.\n3. {name}: shape and colour fit.\n\n"
    "**Answer: {letter}. {name}**",
)
NOTHING = (
    "{foreign}",
    "It is a {foreign}.",
    "E. {foreign}",
    "{other_letter} or {letter}",
    "{other_letter}. {name}",
    "It is neither {name} nor {other}.",
    "Cannot tell",
    "A bird, a car, a dog or a flower.",
)
"""Phrasings from which no careful reader takes an answer; there "right" means that no letter is read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and the words that its answers are made of."""

    dataset: str
    choices: tuple[str, ...]
    target: int
    words: dict[str, str]


Rule = Callable[[str, Sequence[str]], int | None]


def questions(reference: Path, every: int) -> Iterator[Asked]:
    """Yield every n-th published question, its choices in the seeded order."""
    for key in KEYS:
        name = f"{key}-ViT-L-14-laion2b_s32b_b82k-4.json.gz"
        content = json.loads(gzip.decompress((reference / "option_caches" / name).read_bytes()))
        labels = list(content)
        rows = [row for group in content.values() for row in group]
        for row in rows[::every]:
            example_id = make_example_id(key, "test", os.path.basename(row["image"]))
            question_id = make_question_id(example_id, "multiple-choice")
            order = seeded_order(len(row["options"]), 0, question_id)
            yield asked(key, row["options"], order, labels, draw(1, question_id))


def asked(dataset: str, options: list[str], order: list[int], labels: list[str], number: int) -> Asked:
    """Return the question with its truth, two other choices and a label that is not offered."""
    choices = tuple(options[index] for index in order)
    target = order.index(0)
    others = [choice for choice in choices if choice != options[0]]
    other = others.pop(number % len(others))
    foreign = [label for label in labels if label not in options]
    words = {
        "name": options[0],
        "spaced": options[0].replace("_", " ").lower(),
        "letter": LETTERS[target],
        "other": other,
        "other_letter": LETTERS[choices.index(other)],
        "third": others[0],
        "foreign": foreign[number // 7 % len(foreign)],
    }
    return Asked(dataset, choices, target, words)


def ours(answer: str, choices: Sequence[str]) -> int | None:
    """Read as protocol ``fgvr-1`` does."""
    return parse_choice(answer, LETTERS[: len(choices)], choices).choice


def published(answer: str, choices: Sequence[str]) -> int | None:
    """Read as protocol ``foci`` does."""
    letter = parse_letter(answer, LETTERS[: len(choices)])
    return None if letter.startswith(UNREAD) else LETTERS.index(letter)


def lmms_eval(answer: str, choices: Sequence[str], chance: random.Random) -> int:
    """Read as lmms-eval's MMMU tasks do: the first kind of sign that is found counts, of several the last one."""
    for sign in ",.!?;:'":
        answer = answer.strip(sign)
    answer = f" {answer} "
    everyone = range(len(choices))
    found = [index for index in everyone if f"({LETTERS[index]})" in answer]
    place: Callable[[int], int] = lambda index: answer.rfind(f"({LETTERS[index]})")  # noqa: E731
    if not found:
        place = lambda index: answer.rfind(f" {LETTERS[index]} ")  # noqa: E731
        found = [index for index in everyone if f"{LETTERS[index]} " in answer]
        found = found or [index for index in everyone if f"{LETTERS[index]}." in answer]
    if not found and len(answer.split()) > 5:
        lowered = answer.lower()
        place = lambda index: lowered.rfind(choices[index].lower())  # noqa: E731
        found = [index for index in everyone if choices[index].lower() in lowered]
    return max(found, key=place) if found else chance.randrange(len(choices))


def measure(reference: Path, every: int) -> tuple[Counter[tuple[str, str, str, str]], Counter[str]]:
    """Count outcomes by (phrasing, rule, dataset, outcome), and questions by dataset."""
    chance = random.Random(0)
    rules: dict[str, Rule] = {
        "fgvr-1": ours,
        "foci": published,
        "lmms-eval": lambda answer, choices: lmms_eval(answer, choices, chance),
    }
    outcomes: Counter[tuple[str, str, str, str]] = Counter()
    total: Counter[str] = Counter()
    for question in questions(reference, every):
        total[question.dataset] += 1
        for phrasing in (*RIGHT, *NOTHING):
            answer = phrasing.format(**question.words)
            wanted = question.target if phrasing in RIGHT else None
            for name, rule in rules.items():
                choice = rule(answer, question.choices)
                outcome = "right" if choice == wanted else "none" if choice is None else "wrong"
                outcomes[phrasing, name, question.dataset, outcome] += 1
    return outcomes, total


def tables(outcomes: Counter[tuple[str, str, str, str]], total: Counter[str]) -> str:
    """Return both tables as Markdown."""
    rules = ("fgvr-1", "foci", "lmms-eval")

    def share(phrasing: str, rule: str, outcome: str, datasets: Sequence[str]) -> str:
        count = sum(outcomes[phrasing, rule, dataset, outcome] for dataset in datasets)
        return f"{100 * count / sum(total[dataset] for dataset in datasets):.1f}"

    heads = ["answer", *(f"{rule}: {outcome}" for rule in rules for outcome in ("right", "wrong"))]
    blocks = [f"{total.total():,} questions; right and wrong letters in %, the rest is read as no answer.\n"]
    for title, phrasings in (("", RIGHT), ("No answer is given (right: none is read)", NOTHING)):
        rows = [
            [
                f"`{code(phrasing)}`",
                *(share(phrasing, rule, each, KEYS) for rule in rules for each in ("right", "wrong")),
            ]
            for phrasing in phrasings
        ]
        blocks.append(
            (f"{title}:\n\n" if title else "") + tabulate(rows, heads, "github", disable_numparse=True) + "\n"
        )
    rows = [[key, *(share(NAME, rule, each, [key]) for rule in rules for each in ("right", "wrong"))] for key in KEYS]
    heads[0] = "set"
    blocks.append(
        "The bare name (`{name}`), by set:\n\n" + tabulate(rows, heads, "github", disable_numparse=True) + "\n"
    )
    return "\n".join(blocks)


def code(phrasing: str) -> str:
    """Return a phrasing as it can stand in a table."""
    return phrasing.replace("{{", "{").replace("}}", "}").replace("\n", "⏎").replace("|", "\\|")


def main() -> None:
    """Print the tables, or write or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, default=Path(os.environ.get("FGVR_REFERENCE", ROOT.parent / "shared/reference"))
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th question only")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--check", action="store_true", help="exit with 1 where the page has other tables")
    given = parser.parse_args()
    text = tables(*measure(given.reference, given.every))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    current, _, after = rest.partition(END)
    if given.write:
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    elif given.check:
        sys.exit(0 if current.strip() == text.strip() else f"{PAGE} is not current: run this with --write")
    else:
        print(text)


if __name__ == "__main__":
    main()
