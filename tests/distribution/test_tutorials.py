"""The pages for beginners are typed as they stand, in an environment with the wheel, and print what they show."""

from __future__ import annotations

from pathlib import Path

import transcripts
from overlay import ROOT

PAGES = [ROOT / "docs" / "quick-start.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]


def test_the_pages_show_what_their_commands_print(wheel: Path, tmp_path: Path) -> None:
    # one after the other, because they share an environment and what its caches hold
    programs = transcripts.make_environment(tmp_path / "environment", wheel)
    wrong = {}
    for page in PAGES:
        told = transcripts.play(page.read_text(), tmp_path / page.stem, programs)
        assert len(told) >= 4
        if found := transcripts.differences(told):
            wrong[page.stem] = found
    assert wrong == {}, "\n".join(wrong.values())


PAGE = """
```text title="notes/list.txt"
three
```

```console
$ cat notes/list.txt
three
$ export NUMBER=4
$ echo $NUMBER; echo 0123456789ab in 1.25s; echo anything
4
fedcba987654 in 3.50s
...
$ false || echo wrong
right
```
"""


def test_playing_a_page_finds_what_differs_and_writes_it(tmp_path: Path) -> None:
    told = transcripts.play(PAGE, tmp_path / "page", tmp_path / "no programs")
    assert [printed for _, printed in told] == ["three\n", "", "4\n0123456789ab in 1.25s\nanything\n", "wrong\n"]
    assert transcripts.differences(told) == "$ false || echo wrong\nshown:\nright\n\nprinted:\nwrong\n"
    assert transcripts.rewritten(PAGE, told) == PAGE.replace("\nright\n", "\nwrong\n")


def test_there_is_a_tutorial_for_each_kind_of_plugin() -> None:
    from fgvr_bench.new_plugin import KINDS

    assert {page.stem for page in PAGES} >= set(KINDS)
