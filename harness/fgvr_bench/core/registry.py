"""Registries: things of one kind under their names and aliases, with who brought each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import FgvrError, NameClash, UnknownName

T = TypeVar("T")

_NAME = re.compile(r"[\w.+-]+:?")


@dataclass(slots=True)
class Registry(Generic[T]):
    """Things of one kind by name and alias; a name that ends with a colon takes an argument after it."""

    kind: str
    command: str
    """The command that lists them."""
    takes: type
    """What a plugin registers here."""
    _things: dict[str, T] = field(default_factory=dict)
    _aliases: dict[str, str] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    _clashes: dict[str, NameClash] = field(default_factory=dict)

    def check(self, thing: object) -> tuple[str, tuple[str, ...]]:
        """Return the name and the aliases of what a plugin wants to register, each once.

        Raises:
            FgvrError: it is not of the kind that belongs here, or a name is none that could be typed.
        """
        if not isinstance(thing, self.takes):
            what = f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"
            raise FgvrError(f"{self._one} is registered as a {self.takes.__name__}, and this is {what}.")
        card = getattr(thing, "card", thing)
        name, aliases = getattr(card, "name", None), getattr(card, "aliases", ())
        if isinstance(aliases, str):
            raise FgvrError(f"the aliases of {self.kind} {name!r} are the text {aliases!r}; they are a tuple of texts.")
        names = tuple(dict.fromkeys((name, *aliases)))
        for each in names:
            if not isinstance(each, str) or not _NAME.fullmatch(each):
                raise FgvrError(f"{each!r} cannot name {self._one}: only letters, digits and . _ + - can.")
        return names[0], names[1:]

    def add(self, thing: T, owner: str) -> str:
        """Take `thing` in under its name and aliases, and return its name.

        A name that is taken serves neither from then on: `find` refuses it, naming both plugins.

        Raises:
            NameClash: one of the names is taken; the message names both plugins.
            FgvrError: see `check`.
        """
        name, aliases = self.check(thing)
        taken = next((key for key in (name, *aliases) if key in self._owners), None)
        if taken is not None:
            clash = NameClash(
                f"{self.kind} {taken!r} is claimed by {self._owners[taken]} and by {owner}.",
                hint=f"Uninstall one of the two, or leave one out: FGVR_DISABLE={owner.split()[0]}.",
            )
            self._clashes[taken] = clash
            raise clash
        self._things[name] = thing
        for key in (name, *aliases):
            self._owners[key] = owner
            self._aliases[key] = name
        return name

    def copy(self) -> Registry[T]:
        """Return a registry of the same things, to add others to."""
        made: Registry[T] = Registry(self.kind, self.command, self.takes)
        made._things, made._aliases = dict(self._things), dict(self._aliases)
        made._owners, made._clashes = dict(self._owners), dict(self._clashes)
        return made

    def withdraw(self, name: str) -> None:
        """Take out what was added under `name`, aliases included."""
        del self._things[name]
        for key in [key for key, meant in self._aliases.items() if meant == name]:
            del self._aliases[key], self._owners[key]

    def find(self, name: str) -> tuple[T, str | None]:
        """Return the thing of that name and the argument after its colon, if it takes one.

        Raises:
            UnknownName: with the near names.
            NameClash: two plugins claim the name.
        """
        scheme, colon, argument = name.partition(":")
        key = scheme + colon if argument and scheme + colon in self._aliases else name
        if key in self._clashes:
            raise self._clashes[key]
        if key in self._aliases and not (key == name and name.endswith(":")):
            return self._things[self._aliases[key]], argument or None
        if key in self._aliases:
            raise UnknownName(f"{self.kind} {name!r} needs something after its colon.", hint=self._hint)
        raise UnknownName(f"there is no {self.kind} {name!r}. {did_you_mean(name, self._things)}", hint=self._hint)

    @property
    def _one(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    @property
    def _hint(self) -> str:
        return f"See: fgvr-bench {self.command}"

    def __getitem__(self, name: str) -> T:
        return self.find(name)[0]

    def __iter__(self) -> Iterator[T]:
        return iter(self._things[name] for name in sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: str) -> bool:
        return name in self._aliases

    def names(self) -> list[str]:
        """Return the names, sorted, without aliases."""
        return sorted(self._things)

    def owner(self, name: str) -> str:
        """Return ``distribution version`` of the plugin that registered `name`."""
        return self._owners[name]
