"""Draw what ``make demo`` prints as an SVG for the README.

make demo > build/demo.txt && python scripts/picture_of_demo.py build/demo.txt docs/images/demo.svg
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text


def picture(printed: str) -> str:
    """Return an SVG of a terminal in which ``make demo`` was typed; it refers to nothing outside itself."""
    width = max(map(len, printed.splitlines())) + 1
    console = Console(record=True, width=width, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Text.assemble(("$ ", "bold green"), ("make demo", "bold")))
    for line in printed.splitlines():
        console.print(
            Text(line, style="dim" if line.startswith(("always-a on", "random on", "moth-clip on", "Caution")) else "")
        )
    svg = console.export_svg(title="fgvr-bench", theme=MONOKAI, unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture(source.read_text()))
