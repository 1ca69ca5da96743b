"""Putting a report together: column by column, so that no more than one column's answers are ever held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench import __version__
from fgvr_bench.core.host import Host
from fgvr_bench.core.judged import judged
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.results import Column
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.scratch import Kept, Pile
from fgvr_bench.core.statistics import clustered_interval
from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.errors import FgvrError
from fgvr_bench.report.board import Named, board_of, named_runs, run_entry
from fgvr_bench.report.figures import figures_of
from fgvr_bench.report.margins import margins_for
from fgvr_bench.report.pictures import SIDE, Album, open_album
from fgvr_bench.report.reading import Answers, Sheet, State, column_key, column_names, groups_of, read_answers
from fgvr_bench.report.writing import Target, target_for

if TYPE_CHECKING:
    from fgvr_bench.core.found_runs import IndexedRun
    from fgvr_bench.core.index import Index

PAGE = 500
"""Questions in one piece of data."""


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """What a user asked of a report."""

    pictures: bool = True
    side: int = SIDE
    """Longest side of a picture, in pixels."""
    roots: tuple[Path, ...] = ()
    """Folders to look for datasets in; none looks where a run would."""
    title: str = "Results"


@dataclass(slots=True)
class Built:
    """What became of a report."""

    page: Path | None = None
    """The file to open."""
    runs: int = 0
    answers: int = 0
    pictures: int = 0
    bytes: int = 0
    notes: list[str] = field(default_factory=list)
    """What was left out, and why; the page says it too."""


def build_report(
    host: Host,
    runs: Sequence[IndexedRun],
    out: Path,
    settings: ReportSettings | None = None,
    progress: Progress = quiet,
    notes: Sequence[str] = (),
    index: Index | None = None,
) -> Built:
    """Write the report of some runs.

    Args:
        host: plugins: protocols judge the answers, dataset plugins bring the pictures.
        runs: as `Index.read` returns them, whole and checked.
        out: a folder, or one file where the name ends in ``.html``.
        settings: None takes the defaults.
        progress: told what is being done.
        notes: what the caller left out; stands on the page.
        index: keeps the rankings from one time to the next; None computes them.

    Raises:
        FgvrError: there is no run that can be shown, or `out` cannot be written.
    """
    from fgvr_bench.core.leaderboard import build_tables

    settings = settings or ReportSettings()
    if not runs:
        raise FgvrError("there is no whole run to report on.", hint="Make one: fgvr-bench run --help")
    tables = build_tables(runs, index)
    target = target_for(out)
    built = Built(notes=list(notes))
    named = named_runs(tables)
    shown: dict[Column, Pile[Named]] = {}
    keys = Kept[str]()
    taken: set[tuple[str, int]] = set()
    with progress("reading runs", len(runs)) as advance:
        for column, members in named.items():
            maker = _ColumnMaker(host, target, settings, progress, built, column, taken)
            if found := maker.make(members, advance):
                shown[column] = found
                for each in found:
                    keys[each.run.place] = each.key
    if not shown:
        raise FgvrError(f"none of {len(runs)} runs can be shown. {' '.join(built.notes)}")
    target.data("report", _directory(host, shown))
    boards = [board_of(table, keys) for table in tables]
    context = {"title": settings.title, "boards": boards, "notes": built.notes, "version": __version__}
    built.page = target.finish({**context, "runs": built.runs, "answers": built.answers})
    built.bytes = target.bytes
    return built


def _directory(host: Host, shown: Mapping[Column, Sequence[Named]]) -> dict[str, Any]:
    """Return what the page knows before it loads anything else: columns with their runs, and metrics in words."""
    names = column_names(list(shown))
    columns = (
        {"key": column_key(column), "name": names[column], "runs": map(_link, members)}
        for column, members in shown.items()
    )
    return {"columns": columns, "metrics": {metric.name: [metric.title, metric.share] for metric in host.metrics}}


def _link(named: Named) -> dict[str, str]:
    return {"key": named.key, "label": named.label}


@dataclass(slots=True)
class _ColumnMaker:
    """Writes all that a report holds of one column."""

    host: Host
    target: Target
    settings: ReportSettings
    progress: Progress
    built: Built
    column: Column
    taken: set[tuple[str, int]]
    """Pictures that stand in the report already, by album and place."""

    def make(self, members: Sequence[Named], advance: Callable[[int], None]) -> Pile[Named]:
        """Write the column's questions and every run's answers; return the runs that could be shown."""
        album = self._album()
        ranks = {} if album is None else taxonomy_of(album.dataset)
        sheet: Sheet | None = None
        margins: Sequence[float | None] | None = None
        shown = Pile[Named]()
        solved: list[int] = []
        for named in members:
            advance(1)
            folder = RunFolder(named.run.folder)
            try:
                content = folder.read_run() or {}
                started = sheet or Sheet.of(self.column, content["labels"])
                answers = read_answers(started, judged(self.host, folder, content), str(folder.path))
            except FgvrError as error:
                self.built.notes.append(f"left out: {error}")
                continue
            if sheet is None:
                sheet, solved = started, [0] * len(started.rows)
                margins = margins_for(self.column, sheet)
            solved = [count + (state == State.RIGHT) for count, state in zip(solved, answers.states, strict=True)]
            self._run(named, sheet, answers, margins)
            shown.add(named)
        if sheet is not None:
            self._questions(sheet, shown, solved, album, ranks)
        return shown

    def _album(self) -> Album | None:
        if not self.settings.pictures:
            return None
        try:
            return open_album(self.host, self.column, self.settings.roots, self.settings.side, self.progress)
        except FgvrError as error:
            _note_once(self.built, f"no pictures of {self.column.dataset} {self.column.split}: {error}")
            return None

    def _run(self, named: Named, sheet: Sheet, answers: Answers, margins: Sequence[float | None] | None) -> None:
        """Write one run: its figures, its verdicts in short, its answers in pieces."""
        interval = None
        if named.run.main_metric == "accuracy":
            correct = [state == State.RIGHT for state in answers.states]
            interval = clustered_interval(correct, [row.label for row in sheet.rows])
        where = f"runs/{named.key}"
        self.target.data(f"{where}/verdicts", _verdicts(answers, sorted(set(answers.rules))))
        about = run_entry(named, sheet, answers, interval)
        self.target.data(f"{where}/figures", {**about, **figures_of(sheet, answers, margins)})
        for number, (start, end) in enumerate(_pieces(len(sheet.rows))):
            self.target.data(f"{where}/{number}", _answers_piece(answers, start, end))
        self.built.runs += 1
        self.built.answers += len(sheet.rows)

    def _questions(
        self,
        sheet: Sheet,
        shown: Sequence[Named],
        solved: Sequence[int],
        album: Album | None,
        ranks: Mapping[str, tuple[str, ...]],
    ) -> None:
        """Write the column's questions, with their pictures."""
        pictures = {} if album is None else self._pictures(album, sheet)
        where = f"columns/{sheet.key}"
        for number, (start, end) in enumerate(_pieces(len(sheet.rows))):
            self.target.data(f"{where}/{number}", _questions_piece(sheet, pictures, start, end))
        self.target.data(
            f"{where}/index",
            {
                "dataset": self.column.dataset,
                "split": self.column.split,
                "subset": self.column.subset,
                "task": self.column.task,
                "protocol": self.column.protocol,
                "page": PAGE,
                "album": album.name if album else None,
                "names": sheet.names,
                "shown": [album.dataset.display(name) if album else name.replace("_", " ") for name in sheet.names],
                "groups": groups_of(sheet.names, ranks),
                "labels": sheet.labels,
                "classes": [row.label for row in sheet.rows],
                "solved": list(solved),
                "runs": map(_link, shown),
            },
        )

    def _pictures(self, album: Album, sheet: Sheet) -> dict[str, int]:
        """Return the place of each example's picture; examples whose image cannot be read have none."""
        places = album.places([row.example_id for row in sheet.rows])
        ids = {place: example_id for example_id, place in places.items()}
        found = {}
        lost = 0
        for place, source in album.thumbnails(sorted(ids), self.progress):
            if source is None:
                lost += 1
                continue
            found[ids[place]] = place
            if (album.name, place) not in self.taken:
                self.taken.add((album.name, place))
                self.target.picture(album.name, place, source)
        self.built.pictures = len(self.taken)
        if lost:
            _note_once(self.built, f"{lost} images of {album.dataset.card.name} {album.split} cannot be read.")
        return found


def _note_once(built: Built, note: str) -> None:
    if note not in built.notes:
        built.notes.append(note)


def _pieces(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + PAGE, count)) for start in range(0, count, PAGE)]


def _verdicts(answers: Answers, rules: Sequence[str]) -> dict[str, Any]:
    """Return each question's state as a character, and its rule as the place of one."""
    places = {rule: place for place, rule in enumerate(rules)}
    return {"states": "".join(answers.states), "names": list(rules), "rules": [places[rule] for rule in answers.rules]}


def _answers_piece(answers: Answers, start: int, end: int) -> dict[str, Any]:
    said = answers.said[start:end]
    return {
        "said": [completion for completion, _ in said],
        "errors": {place: error for place, (_, error) in enumerate(said) if error is not None},
        "given": answers.given[start:end],
        "scores": answers.scores[start:end] if answers.kind else None,
        "kind": answers.kind,
    }


def _questions_piece(sheet: Sheet, pictures: Mapping[str, int], start: int, end: int) -> list[list[Any]]:
    """Return ``[key, order, label, choices, target, letters, subject, rank, picture]`` of each question."""
    prefix = len(f"{sheet.column.dataset}/{sheet.column.split}/")
    return [
        [
            row.example_id[prefix:],
            row.permutation,
            row.label,
            row.choices,
            row.target,
            row.letters,
            row.subject,
            row.rank,
            pictures.get(row.example_id),
        ]
        for row in sheet.rows[start:end]
    ]
