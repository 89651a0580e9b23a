"""The file of --config: a YAML mapping from long flags to values, each of them checked against its option before anything else happens."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from skipvid.cli.settings.precedence import add_config, long_flag
from skipvid.cli.settings.types import Described, TupleType
from skipvid.core.errors import UsageError
from skipvid.core.text import one_line


def use_config(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Callback of --config. Raises UsageError for a file that cannot be read, an unknown key, a value that does not fit."""
    if value is not None:
        known = {long_flag(other): other for other in context.command.params if other is not parameter}
        add_config(context, _checked(value, _read(value), known, context))
    return value


def _read(path: Path) -> Mapping[object, object]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"settings file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that there is not
        raise UsageError(f"settings file {path} is not valid YAML: {one_line(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"settings file {path} is not a list of 'key: value' lines")
    return content


def _checked(path: Path, content: Mapping[object, object], known: Mapping[str, click.Parameter], context: click.Context) -> dict[str, Any]:
    """Values by parameter, converted."""
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("_", "-")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(sorted(known))}"
            raise UsageError(f"settings file {path}: unknown key '{key}'", hint)
        option = known[name]
        assert option.name is not None
        if option.name in values:
            raise UsageError(f"settings file {path}: '{name}' stands there twice", "leave one of them out")
        try:
            values[option.name] = _converted(option, value, context)
        except (click.BadParameter, TypeError, ValueError):
            raise UsageError(f"settings file {path}: {key} is {_shown(value)}", f"give {_wanted(option)}") from None
    return values


def _converted(option: click.Parameter, value: object, context: click.Context) -> Any:
    """The value as the option's type reads it. Raises click.BadParameter or TypeError."""
    if isinstance(option, click.Option) and option.is_flag:
        if not isinstance(value, bool):
            raise TypeError
        return value
    several = option.nargs != 1 or (isinstance(option, click.Option) and option.multiple)
    if several:
        values = value if isinstance(value, list) else [value]
        if option.nargs > 1 and len(values) != option.nargs:
            raise TypeError
        return [_one(option, item, context) for item in values]
    if isinstance(option.type, TupleType) and isinstance(value, list):
        if any(isinstance(item, bool) for item in value):
            raise TypeError
        return option.type.convert(value, option, context)
    return _one(option, value, context)


def _one(option: click.Parameter, value: object, context: click.Context) -> Any:
    # A string is read as it would be from the command line; anything else must be of the right kind before click converts it,
    # because its int() and str() accept nearly everything.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    texts = isinstance(option.type, click.Path | click.types.StringParamType) or (
        isinstance(option.type, click.Choice) and all(isinstance(choice, str) for choice in option.type.choices)
    )
    if not isinstance(value, str) and texts:
        raise TypeError
    if isinstance(value, float) and isinstance(option.type, click.types.IntParamType):
        raise TypeError
    return option.type.convert(value, option, context)


def _shown(value: object) -> str:
    """A value as a message names it: as YAML writes it, in short."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join((str(value) if isinstance(value, int | float | dict | list) else repr(str(value))).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wanted(option: click.Parameter) -> str:
    """What an option takes, in words."""
    if isinstance(option, click.Option) and option.is_flag:
        return "true or false"
    one = _wanted_one(option.type)
    if option.nargs > 1:
        return f"a list of {option.nargs}, each {one}"
    if option.nargs == -1 or (isinstance(option, click.Option) and option.multiple):
        return f"{one}, or a list of such"
    return one


def _wanted_one(kind: click.ParamType[Any]) -> str:
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(str(choice) for choice in kind.choices)}"
    if isinstance(kind, click.IntRange | click.FloatRange):
        number = "a whole number" if isinstance(kind, click.IntRange) else "a number"
        if kind.min is None and kind.max is None:
            return number
        if kind.max is None:
            return f"{number} above {kind.min}" if kind.min_open else f"{number} of {kind.min} or more"
        return f"{number} from {kind.min} to {kind.max}"
    if isinstance(kind, click.types.IntParamType):
        return "a whole number"
    if isinstance(kind, click.types.FloatParamType):
        return "a number"
    return kind.wanted if isinstance(kind, Described) else "a text; quotes make one of a number"
