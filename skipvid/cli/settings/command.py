"""Commands that are called with an object of their settings class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click

from skipvid.cli.settings.fields import build, parameters

S = TypeVar("S")


@dataclass(slots=True)
class Outcome:
    """What the caller of a command wants to know beside its result; given to click as `obj`. verbose: tracebacks are wanted."""

    verbose: bool = False


class SettingsCommand(click.Command, Generic[S]):
    """A command whose options are the fields of a settings class. run: does the work, and returns an exit code or None."""

    def __init__(self, name: str, settings: type[S], run: Callable[[S], int | None]) -> None:
        super().__init__(name, params=parameters(settings), help=run.__doc__)
        self.settings, self.run = settings, run

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(ctx.obj, Outcome):
            ctx.obj.verbose = ctx.obj.verbose or bool(ctx.params.get("verbose"))
        return ctx.invoke(self.run, build(self.settings, ctx.params))


def command(settings: type[S], name: str | None = None) -> Callable[[Callable[[S], int | None]], SettingsCommand[S]]:
    """Make a command of a function; its docstring is the help. name: where it is not the function's."""

    def make(run: Callable[[S], int | None]) -> SettingsCommand[S]:
        return SettingsCommand(name or run.__name__, settings, run)

    return make
