"""Boards as whole texts, for tests that look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fgvr_bench.core import board_data, board_html, board_latex, board_text
from fgvr_bench.core.board import Table


def _whole(write: Callable[[Sequence[Table]], Iterator[str]]) -> Callable[[Sequence[Table]], str]:
    return lambda tables: "".join(write(tables))


to_csv, to_json = _whole(board_data.to_csv), _whole(board_data.to_json)
to_html, to_latex = _whole(board_html.to_html), _whole(board_latex.to_latex)
to_markdown, to_text = _whole(board_text.to_markdown), _whole(board_text.to_text)
