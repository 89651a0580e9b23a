"""Where the value of a setting comes from: flag > environment > --config > preset > default. Nothing else decides that.

click looks on the command line, then in the environment (the variable that `environment_name` gives), then in its `default_map`, which is
what --config fills, then takes the default. Settings that a preset has, too, have no default: None says that nobody gave one, and
`given_or_preset` takes the preset's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from skipvid.core.errors import UsageError

T = TypeVar("T")


def long_flag(parameter: click.Parameter) -> str:
    """The option's long name without dashes before it, such as "max-frames"; an argument's name."""
    return next((name.removeprefix("--") for name in parameter.opts if name.startswith("--")), parameter.name or "")


def environment_name(flags: tuple[str, ...] | list[str]) -> str:
    """SKIPVID_MAX_FRAMES for --max-frames."""
    long = next(name for name in flags if name.startswith("--"))
    return "SKIPVID_" + long.removeprefix("--").replace("-", "_").upper()


class Option(click.Option):
    """An option with an environment variable that is named after its long flag; a bad value is answered with the name of the variable."""

    def __init__(self, declarations: list[str], **attributes: Any) -> None:
        super().__init__(declarations, envvar=environment_name(declarations), **attributes)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        assert self.name is not None
        ctx.set_parameter_source(self.name, source)  # click 8.4.0 does so behind process_value only
        return value, source

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            if self.name is not None and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
                raise UsageError(f"environment variable {self.envvar}: {error.message}") from None
            raise


def add_config(context: click.Context, values: Mapping[str, Any]) -> None:
    """Let values of a settings file, by the names of parameters, stand behind flags and environment and before defaults."""
    context.default_map = {**(context.default_map or {}), **values}


def given_or_preset(given: T | None, of_preset: T) -> T:
    """What a flag, the environment or a settings file gave, else what the preset says."""
    return of_preset if given is None else given
