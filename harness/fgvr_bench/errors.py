"""Errors that a user can act on.

Every error says what is wrong, which thing it is about, and what to do next.  The command line turns
them into one paragraph and an exit status; nothing else in the package prints a message and exits.
"""

from __future__ import annotations

__all__ = [
    "DataInvalid",
    "DataNotFound",
    "FgvrError",
    "FormatUnknown",
    "ModelUnavailable",
    "NameClash",
    "OptionsInvalid",
    "OutOfMemory",
    "Stopped",
    "UnknownName",
    "UsageError",
]


class FgvrError(Exception):
    """Something failed that the message names; exit status 1.

    ``hint`` is the next step, usually a command to type.
    """

    exit_status = 1
    """The exit status of a command that ends with it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Say what is wrong (`message`) and what to do next (`hint`)."""
        super().__init__(message)
        self.message = message
        """What is wrong, and which thing it is about."""
        self.hint = hint
        """What to do next, usually a command to type."""

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class UsageError(FgvrError):
    """The request itself is wrong (an unknown name, settings that exclude each other); exit status 2."""

    exit_status = 2
    """The exit status of a command that ends with it."""


class UnknownName(UsageError):
    """No plugin goes by this name; the message offers the near ones."""


class NameClash(FgvrError):
    """Two plugins claim one name; the message names both."""


class DataNotFound(FgvrError):
    """A dataset's files are not on this machine; the message says where it looked and what to type."""


class DataInvalid(FgvrError):
    """A dataset's files are there but are not what they claim; the message names file and line."""


class OptionsInvalid(FgvrError):
    """An option set does not fit the dataset, or its file is damaged or of an unknown format."""


class ModelUnavailable(FgvrError):
    """A checkpoint cannot be loaded (absent, incomplete, no network and no cache)."""


class OutOfMemory(FgvrError):
    """A batch did not fit the device's memory; a smaller batch may."""


class FormatUnknown(FgvrError):
    """A file was written by another version; the message says which versions this one reads."""


class Stopped(FgvrError):
    """Ended before its time; everything answered is on disk and the message says how to go on."""
