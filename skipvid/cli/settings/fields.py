"""Fields of a settings class, and the click parameters that are made of them: an option is declared once, as a field.

The annotation says what the option takes: `bool` is a flag, `Literal[...]` a choice, `tuple[T, ...]` may be given several times (or
takes one list, where its type is a TupleType), `T | None` has no default. A field that is itself a settings class stands for all of its
options, in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from skipvid.cli.settings.precedence import Option
from skipvid.cli.settings.types import TupleType

T = TypeVar("T")
S = TypeVar("S")

PLAIN: Mapping[type, click.ParamType[Any]] = {
    str: click.STRING,
    int: click.INT,
    float: click.FLOAT,
    Path: click.Path(path_type=Path),
}
_KEY = "parameter"


@dataclass(frozen=True, slots=True)
class Declared:
    """What --help and the parser need beyond the name, the annotation and the default of a field. flags: () for an argument."""

    flags: tuple[str, ...] = ()
    help: str | None = None
    metavar: str | None = None
    type: click.ParamType[Any] | None = None
    required: bool = True
    show_default: bool = False
    bare: Any = None  # value of the flag without a value; None: it needs one
    callback: Callable[[click.Context, click.Parameter, Any], Any] | None = None  # called before other options are looked up


def setting(
    *flags: str,
    default: T,
    help: str,
    metavar: str | None = None,
    type: click.ParamType[Any] | None = None,
    show_default: bool = False,
    bare: Any = None,
    callback: Callable[[click.Context, click.Parameter, Any], Any] | None = None,
) -> T:
    """An option with a default; None: it has none. type: where the annotation says too little. The others: see Declared."""
    return field(default=default, metadata={_KEY: Declared(flags, help, metavar, type, False, show_default, bare, callback)})


def required(*flags: str, help: str, metavar: str | None = None, type: click.ParamType[Any] | None = None) -> Any:
    """An option that must be given."""
    return field(metadata={_KEY: Declared(flags, help, metavar, type)})


def flag(*flags: str, help: str) -> bool:
    """An option without a value."""
    return setting(*flags, default=False, help=help)


def argument(metavar: str | None = None) -> Any:
    """An argument that must be given."""
    return field(metadata={_KEY: Declared(metavar=metavar)})


def optional_argument(metavar: str | None = None, *, default: T) -> T:
    """An argument that may be left out."""
    return field(default=default, metadata={_KEY: Declared(metavar=metavar, required=False)})


def parameters(settings: type) -> list[click.Parameter]:
    """The click parameters of a settings class, in the order of its fields.

    Raises TypeError for a class out of which none can be made: two fields of one name, an annotation that does not fit the default.
    """
    found = list(_parameters(settings))
    names = [parameter.name for parameter in found]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{settings.__name__} has two settings of the name {', '.join(map(str, doubled))}")
    return found


def build(settings: type[S], values: Mapping[str, Any]) -> S:
    """A settings object out of the values of its parameters. Raises UsageError for values that contradict each other."""
    hints = get_type_hints(settings)
    return settings(
        **{item.name: values[item.name] if _KEY in item.metadata else build(hints[item.name], values) for item in _fields(settings)}
    )


def _fields(settings: type) -> tuple[Field[Any], ...]:
    return fields(settings)


def _parameters(settings: type) -> Iterator[click.Parameter]:
    hints = get_type_hints(settings)
    for item in _fields(settings):
        hint = hints[item.name]
        if _KEY in item.metadata:
            yield _parameter(item, hint, item.metadata[_KEY])
        elif is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _parameters(hint)
        else:
            raise TypeError(f"{settings.__name__}.{item.name} is neither a setting nor a group of settings")


def _parameter(item: Field[Any], hint: Any, declared: Declared) -> click.Parameter:
    inner, optional = _without_none(hint)
    if optional != (item.default is None):
        raise TypeError(f"{item.name}: {hint} does not fit the default {item.default!r}")
    several = get_origin(inner) is tuple and not isinstance(declared.type, TupleType)
    members = get_args(inner) if several else ()
    one = members[0] if several else inner
    kind = declared.type or (click.Choice(get_args(one)) if get_origin(one) is Literal else PLAIN.get(one))
    if kind is None and inner is not bool:
        raise TypeError(f"{item.name}: {hint} needs a type")
    endless = several and members[-1] is Ellipsis
    if not declared.flags:
        return click.Argument([item.name], type=kind, nargs=-1 if endless else 1, required=declared.required, metavar=declared.metavar)
    # Left out where there is none: click tells "no default" from "the default None".
    extra: dict[str, Any] = {}
    if isinstance(kind, TupleType) and isinstance(item.default, tuple):
        extra["default"] = kind.text(item.default)
    elif not declared.required and item.default not in (None, ()) and inner is not bool:
        extra["default"] = item.default
    is_flag = True if inner is bool else None
    if declared.bare is not None:
        is_flag, extra["flag_value"] = False, declared.bare
    return Option(
        [*declared.flags, item.name],
        type=None if inner is bool else kind,
        is_flag=is_flag,
        multiple=endless,
        nargs=len(members) if several and not endless else 1,
        required=declared.required,
        help=declared.help,
        metavar=declared.metavar,
        show_default=declared.show_default,
        is_eager=declared.callback is not None,
        callback=declared.callback,
        **extra,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    """An annotation without `| None`, and whether that stood there."""
    if get_origin(hint) in (Union, UnionType):
        kept = [member for member in get_args(hint) if member is not NoneType]
        if len(kept) != 1:
            raise TypeError(f"{hint}: a setting has one type")
        return kept[0], True
    return hint, False
