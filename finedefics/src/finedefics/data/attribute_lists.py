"""Which attributes are read, by group: off a model's answers, or from a file that one can edit.

The file holds an attribute a line; ``#`` starts a remark.  Where categories are grouped, ``[Wainscot]`` begins the
attributes of that group; what stands above the first such line is for every group that has none of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError
from fgvr_bench.types import Response
from finedefics.data.steps import Groups
from finedefics.data.texts import LONGEST_ATTRIBUTE, attributes_in, one_line

Lists = Mapping[str, tuple[str, ...]]
"""Attributes by group."""


def lists_in(answers: Sequence[Response], groups: Groups, most: int) -> dict[str, tuple[str, ...]]:
    """Return the attributes that a model named for each group.

    Raises:
        FgvrError: an answer that failed or holds no list; shows what was answered.
    """
    found = {}
    for group, response in zip(groups.members, answers, strict=True):
        found[group] = attributes_in(response.completion or "", most)
        if not found[group]:
            said = response.error or one_line(response.completion or "", 200) or "nothing"
            raise FgvrError(
                f"asked which attributes tell {groups.called(group)} apart, the model answered: {said}",
                hint="Ask another one (--attribute-model), ask again what failed (--retry-failed), or write the "
                "attributes into a file, one a line, and give it with --attributes FILE.",
            )
    return found


def read_lists(path: Path, groups: Groups) -> dict[str, tuple[str, ...]]:
    """Return the attributes of a file, by group.

    Raises:
        DataNotFound: no such file.
        DataInvalid: an unknown group, an attribute that is too long or stands twice, or a group without any; names
            file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataNotFound(f"{path} does not exist.", hint="Write into it an attribute a line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path} cannot be read as UTF-8 text: {error}.") from error
    sections: dict[str | None, list[str]] = {None: []}
    group: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        plain = one_line(line.partition("#")[0], len(line))
        if heading := re.fullmatch(r"\[(.+)\]", plain):
            group = heading[1].strip()
            if group not in groups.members:
                raise DataInvalid(f"{path}, line {number}: no group {group!r}. {did_you_mean(group, groups.members)}")
            sections.setdefault(group, [])
        elif plain:
            _check(plain, sections[group], f"{path}, line {number}")
            sections[group].append(plain)
    lists = {each: tuple(sections.get(each) or sections[None]) for each in groups.members}
    for each, attributes in lists.items():
        if not attributes:
            raise DataInvalid(f"{path} holds no attribute for {groups.called(each)}.", hint="Write one a line.")
    return lists


def _check(attribute: str, before: Sequence[str], where: str) -> None:
    if len(attribute) > LONGEST_ATTRIBUTE:
        raise DataInvalid(
            f"{where}: an attribute of {len(attribute)} characters; at most {LONGEST_ATTRIBUTE} are asked for."
        )
    if attribute.casefold() in {each.casefold() for each in before}:
        raise DataInvalid(f"{where}: {attribute!r} stands twice.")
