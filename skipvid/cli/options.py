"""Options that several commands share: the same names and the same meaning everywhere.

Every option can also come from an environment variable SKIPVID_<NAME> or from the YAML file given by --config.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from skipvid.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Threshold(click.ParamType[float]):
    """A finite number of 0 or more."""

    name = "number"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            self.fail(f"{value!r} is not a number of 0 or more, such as 0.03", parameter, context)
        return number


class Fraction(click.ParamType[float]):
    """A number from 0 to 1."""

    name = "0..1"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number <= 1:
            self.fail(f"{value!r} is not a number from 0 to 1", parameter, context)
        return number


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """click.option with an environment variable named after the long flag."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    attributes.setdefault("envvar", "SKIPVID_" + long.removeprefix("--").replace("-", "_").upper())
    return click.option(*names, **attributes)


def combine(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """One decorator out of several, listed in the order in which --help shows them."""

    def apply(function: F) -> F:
        result: Any = function
        for decorator in reversed(decorators):
            result = decorator(result)
        return result  # type: ignore[no-any-return]

    return apply


def _read_config(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    import yaml

    try:
        content = yaml.safe_load(Path(value).read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(f"settings file {value} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"settings file {value} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"settings file {value} is not a list of 'key: value' lines")
    known = {p.name: p for p in context.command.params if p.name not in (None, "config", "help")}
    settings = {}
    for key, setting in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, [n for n in known if n], n=1)
            hint = f"did you mean '{close[0].replace('_', '-')}'?" if close else f"allowed: {', '.join(sorted(n for n in known if n))}"
            raise UsageError(f"settings file {value}: unknown key '{key}'", hint)
        settings[name] = setting
    context.default_map = {**(context.default_map or {}), **settings}


source_argument = click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
_run_options = combine(
    option("--weights", metavar="FILE", help="Load this file instead of the preset's weights."),
    option("--offline", is_flag=True, help="Never download; say what is missing and where to put it."),
    option(
        "--threshold", type=Threshold(), metavar="T", help="Gate threshold, relative to each map's mean magnitude; 0 is exact.  [preset]"
    ),
    option(
        "--gate",
        type=click.Choice(["norm", "norm-output", "gumbel", "none"]),
        help="How to decide what to compute: by the change of what a layer reads (norm), by how far off its outputs can be (norm-output), "
        "by learned gates (gumbel); none = everything.  [preset]",
    ),
    option("--gate-weights", metavar="FILE", help="Learned gates for --gate gumbel.  [preset]"),
    option("--block", type=click.Choice(["1", "2", "4", "8", "16"]), help="Gates open in blocks of so many pixels squared.  [preset]"),
    option(
        "--reference",
        type=click.Choice(["accumulated", "previous"]),
        help="Measure changes against what was last taken over, or (slow, as published, drifts) against the last frame.  [preset]",
    ),
    option("--refresh", type=click.IntRange(min=0), default=0, metavar="N", help="Compute every N-th frame densely; 0 = only when needed."),
    option("--conf", type=Fraction(), help="Leave out detections with a lower score.  [preset]"),
    option("--backend", type=click.Choice(["auto", "cpu", "reference"]), default="auto", help="What to run on.  [default: auto]"),
    option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for the network.  [all cores]"),
)


def network_options(default: str) -> Callable[[F], F]:
    """What network to run, and how. default: the preset where none is named."""
    help_text = f"Network to use (see: skipvid presets list).  [default: {default}]"
    return combine(option("--preset", metavar="NAME|FILE", help=help_text), _run_options)


model_options = network_options("efficientdet-nano")
read_options = combine(
    option("--start", type=float, default=0.0, metavar="S", help="Begin at this second."),
    option("--end", type=float, metavar="S", help="Stop before this second."),
    option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames."),
    option("--stride", type=click.IntRange(min=1), default=1, metavar="N", help="Take every N-th frame."),
    option("--fps", type=float, metavar="F", help="Frames per second of a folder of images.  [25]"),
)
write_options = combine(
    option("--overwrite", is_flag=True, help="Replace existing outputs."),
    option("--skip-existing", is_flag=True, help="Leave out sources whose outputs exist."),
    option("--no-audio", is_flag=True, help="Do not copy the sound."),
)
talk_options = combine(
    option("--json", "as_json", is_flag=True, help="Print exactly one JSON document on stdout."),
    option("-q", "--quiet", is_flag=True, help="Only errors."),
    option("-v", "--verbose", is_flag=True, help="More detail, and tracebacks."),
    option("--log-file", metavar="FILE", help="Write messages to this file, too."),
    click.option(
        "--config", is_eager=True, expose_value=False, callback=_read_config, metavar="FILE", help="Read settings from a YAML file."
    ),
)
