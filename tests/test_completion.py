"""What a shell offers while a command is typed: asked of the shells themselves, by the script that users install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "fgvr-bench"

ASK = """
eval "$(fgvr-bench completion bash)"
COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
compopt() { echo "compopt $*"; }  # what Readline would be told
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE}
    _fgvr_bench_completion fgvr-bench
    printf '%s\\n' "${COMPREPLY[@]}" "--"
done
"""


def by_shell(*command: str, typed: str = "") -> str:
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, input=typed, env=environment, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return done.stdout


def offered(*lines: str) -> list[list[str]]:
    """Return what Bash would offer for each line, and what it would be told beside."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    output = by_shell("bash", "--norc", "-c", ASK, typed="".join(f"{line}\n" for line in lines))
    return [[word for word in block.split("\n") if word] for block in output.split("--\n")[:-1]]


def test_names_that_are_installed_are_offered_where_they_can_stand() -> None:
    models, datasets, miners, protocols, fetch = offered(
        "fgvr-bench run --model moth-",
        "fgvr-bench run -m random -d m",
        "fgvr-bench options build --miner c",
        "fgvr-bench run --protocol f",
        "fgvr-bench datasets fetch a",
    )
    assert models == ["moth-clip", "moth-finedefics", "moth-idefics2"]
    assert datasets == ["moth-24"]
    assert miners == ["clip", "closed", "consensus"]
    assert protocols == ["fgvr-1", "fgvr-1-cot", "foci"]
    assert {"aircraft-102", "all"} <= set(fetch)


def test_what_stands_on_the_line_already_decides_what_is_offered() -> None:
    tasks, of_foci, decodings, splits = offered(
        "fgvr-bench run --task ",
        "fgvr-bench run --protocol foci --task ",
        "fgvr-bench run --model moth-clip --decoding ",
        "fgvr-bench run --dataset moth-24 --split ",
    )
    assert set(of_foci) == {"multiple-choice", "yes-no"} < set(tasks)
    assert decodings == ["similarity"]
    assert splits == ["train", "validation", "test"]


def test_a_path_behind_a_colon_is_completed_as_one_word(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "list.csv").touch()
    scheme, folder, option = offered(
        "fgvr-bench run -d fol", f"fgvr-bench run -d folder:{tmp_path}/", "fgvr-bench run --model=moth-c"
    )
    assert scheme == ["compopt -o", "nospace", "folder:"]
    assert folder[-1] == f"{tmp_path}/photos/"  # Bash keeps the word up to its colon
    assert str(tmp_path / "list.csv") not in folder
    assert option == ["moth-clip"]


def test_commands_options_and_files_are_offered() -> None:
    commands, options, below, files = offered(
        "fgvr-bench le", "fgvr-bench run --dry", "fgvr-bench options ver", "fgvr-bench report "
    )
    assert (commands, options, below) == (["leaderboard"], ["--dry-run"], ["verify"])
    assert " ".join(files) == "compopt -o default"


def test_the_other_shells_get_a_script_of_their_own() -> None:
    scripts = {shell: by_shell(str(PROGRAM), "completion", shell) for shell in ("bash", "zsh", "fish")}
    assert len(set(scripts.values())) == 3
    assert "#compdef fgvr-bench" in scripts["zsh"]
    if shutil.which("zsh"):
        by_shell("zsh", "-f", "-n", "-c", scripts["zsh"])
    if shutil.which("fish"):
        ask = 'fgvr-bench completion fish | source; complete -C "fgvr-bench run --model moth-c"'
        assert by_shell("fish", "--no-config", "-c", ask).startswith("moth-clip\t")


def test_an_unknown_shell_is_refused() -> None:
    refused = subprocess.run([PROGRAM, "completion", "tcsh"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "'bash', 'zsh', 'fish'" in refused.stderr
