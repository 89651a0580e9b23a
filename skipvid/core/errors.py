"""The errors that a user meets: each says what went wrong, where, and what to do, and ends the program with its own code."""

from __future__ import annotations

from skipvid.core.text import without_secrets


class SkipvidError(Exception):
    """Base of every error that skipvid raises on purpose.

    message: what is wrong and where, in one line. hint: what the user can do about it, in one line, or None.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = without_secrets(message)
        self.hint = None if hint is None else without_secrets(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class UsageError(SkipvidError):
    """An option or a combination of options that cannot be meant."""

    exit_code = 2


class SourceError(SkipvidError):
    """A source cannot be opened or decoded."""

    exit_code = 3


class PresetError(SkipvidError):
    """A preset is unknown, malformed, or does not fit its weights."""

    exit_code = 4


class WeightsError(PresetError):
    """Weights are missing, corrupt, or belong to another network."""


class BackendError(SkipvidError):
    """A back end or a device is not available, or cannot run this network."""

    exit_code = 5


class OutputError(SkipvidError):
    """An output cannot be written."""

    exit_code = 6


class SomeSourcesFailed(SkipvidError):
    """Several sources were given and some of them failed; the others are done."""

    exit_code = 7
