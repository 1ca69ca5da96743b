"""Boards as one HTML page that needs nothing else: no script, no font, no network; dark and light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fgvr_bench.core.board import REPORTED, Table
from fgvr_bench.core.board_words import NOTHING, interval, lay_out, percent, rank

PAGE = """\
<!doctype html>
<!-- fgvr-bench leaderboard -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Leaderboard</title>
<style>
:root { color-scheme: light dark; --text: #1b1f24; --soft: #59636e; --line: #d1d9e0; --page: #fff; --best: #e6f4ea; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e8eb; --soft: #9aa4af; --line: #3a424c; --page: #14181d; --best: #173324; }
}
body { margin: 2rem auto; padding: 0 1rem; max-width: 90rem; color: var(--text); background: var(--page);
  font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12rem; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; }
thead span, td small, caption, .caption { color: var(--soft); font-size: .8rem; }
thead span, td small { display: block; font-weight: 400; }
tbody th { color: var(--soft); font-weight: 600; font-size: .85rem; padding-top: 1.1rem; }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--line); }
tbody th[scope=row] { color: var(--text); font-size: 1rem; font-weight: 400; padding-top: .35rem; }
td.best { background: var(--best); font-weight: 700; }
tbody.reported { font-style: italic; }
.caption { max-width: 60rem; padding-left: 1.2rem; }
</style>
</head>
<body>
<h1>Leaderboard</h1>
{% for grid in grids %}
<h2>{{ grid.title }}</h2>
<div class="wide" tabindex="0" role="region" aria-label="{{ grid.title }}">
<table>
<thead><tr>
{% for head in grid.heads %}
<th scope="col">{{ head[0] }}{% for more in head[1:] %}<span>{{ more }}</span>{% endfor %}</th>
{% endfor %}
</tr></thead>
{% for name, rows in grid.blocks %}
<tbody{% if name == reported %} class="reported"{% endif %}>
<tr><th colspan="{{ grid.heads|length }}" scope="rowgroup">{{ name }}</th></tr>
{% for line, beside in rows %}
<tr><th scope="row"><bdi>{{ line.label }}</bdi></th>
{%- if grid.ranked %}<td>{{ rank(line) }}</td>{% endif %}
{%- for figure in line.figures %}
{%- if figure is none %}<td></td>
{%- else %}<td{% if figure.mark == "best" %} class="best"{% endif %}>
{{- percent(figure.share) }}{% if figure.mark == "level" %}≈{% endif %}
{%- if figure.interval %}<small>{{ interval(figure) }}</small>{% endif %}</td>
{%- endif %}
{%- endfor %}
{%- for text in beside %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
</div>
<ul class="caption">
{% for sentence in grid.caption %}
<li>{{ sentence }}</li>
{% endfor %}
</ul>
{% else %}
<p>{{ nothing }}</p>
{% endfor %}
</body>
</html>
"""


def to_html(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the tables as one page, piece by piece; every text on it is escaped, and no script could run."""
    from jinja2 import Environment

    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True).from_string(
        PAGE
    )
    return page.generate(
        grids=[lay_out(table) for table in tables],
        nothing=NOTHING,
        reported=REPORTED,
        rank=rank,
        percent=percent,
        interval=interval,
    )
