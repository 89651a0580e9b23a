"""The entry point: the group of commands, and the one place where errors become a line of text and an exit code."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from skipvid import __version__
from skipvid.cli import streams
from skipvid.cli.lazy import LazyGroup
from skipvid.cli.settings.command import Outcome
from skipvid.core import interrupts
from skipvid.core.errors import OutputError, SkipvidError
from skipvid.core.text import printable, without_secrets

COMMANDS = {
    # command -> module that defines it, imported when it is wanted, and what --help says of it
    "detect": ("skipvid.cli.detect", "Find objects, and write annotated video or data."),
    "pose": ("skipvid.cli.pose", "Find people's keypoints, and write annotated video or data."),
    "segment": ("skipvid.cli.segment", "Tell the class of each pixel."),
    "heatmap": ("skipvid.cli.heatmap", "Render which parts of the picture were computed."),
    "report": ("skipvid.cli.report", "Measure what gating saves on a video, and what it changes."),
    "eval": ("skipvid.cli.eval", "Measure accuracy against ground truth, dense and gated."),
    "calibrate": ("skipvid.cli.calibrate", "Choose thresholds for a camera, by a goal that is kept."),
    "train": ("skipvid.cli.train", "Train small models."),
    "distill": ("skipvid.cli.distill", "Make a small network for your own camera, without labels."),
    "bench": ("skipvid.cli.bench", "Measure speed by activity, beside other runtimes."),
    "presets": ("skipvid.cli.presets", "List, inspect and add networks that can be run."),
    "probe": ("skipvid.cli.probe", "Show what a file holds, and whether it can be read."),
    "doctor": ("skipvid.cli.doctor", "Examine the installation."),
}
INTERRUPTED = 130


class _Stopped(Exception):
    """A polite stop, by a name that click does not know: it would print an empty line."""


class _Program(LazyGroup):
    """The top group: what click would answer in its own way (Ctrl-C, the end of a file, a broken pipe) comes out as it is."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with streams.named_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Stopped from None
        except EOFError as error:
            raise RuntimeError(f"a file ended too early: {error}") from error


@click.group(cls=_Program, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="skipvid", message="%(prog)s %(version)s")
def cli() -> None:
    """Video object detection and pose estimation that computes only what changed since the last frame.

    \b
    skipvid detect clip.mp4                     annotated video and a report of the computation saved
    skipvid pose --webcam --show                keypoints of people before a camera, in a window
    skipvid heatmap clip.mp4                    where the computation went, as a video and a picture
    skipvid report clip.mp4 --csv cost.csv      gated against dense, layer by layer, frame by frame

    Results go to files and to stdout, everything else to stderr.
    Settings: flag > SKIPVID_* environment variable > --config file > preset.

    Exit codes: 0 done, 1 internal error, 2 usage, 3 source, 4 preset or weights, 5 back end, 6 output,
    7 some of several sources failed. Stopped, with whole files: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 the reader of stdout has gone.
    A second signal ends the program at once.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    streams.open_standard()
    code = run(arguments)
    if streams.flush() is not None and code == 0:
        code = OutputError.exit_code
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        # A reader that hangs in a driver or on stdin: the interpreter would wait for its locks, or abort.
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns its exit code; never raises for anything a user can do."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with interrupts.handled():
        code = _run(words)
        stop = interrupts.received()
    return code if code != INTERRUPTED or stop is None else interrupts.exit_code(stop)


def _run(words: Sequence[str]) -> int:
    # The command says so, too, once it knows environment and settings file; an error on the way there has the words alone.
    outcome = Outcome(any(word in ("-v", "--verbose") for word in words))
    try:
        result = cli.main(args=list(words), prog_name="skipvid", standalone_mode=False, obj=outcome)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "skipvid"
        _complain(error.format_message(), f"see {where} --help")
        return 2
    except SkipvidError as error:
        if outcome.verbose:
            print_traceback()
        _complain(error.message, error.hint)
        return error.exit_code
    except (_Stopped, KeyboardInterrupt, click.exceptions.Abort):
        _complain(interrupts.reason(), None)
        return INTERRUPTED
    except SystemExit:  # the answer of click and rich to a broken pipe
        _complain("stdout cannot be written: its reader has ended", None)
        return streams.READER_GONE
    except Exception as error:
        if outcome.verbose:
            print_traceback()
        _complain(f"internal error: {type(error).__name__}: {error}", "run again with -v for the traceback, and report it, please")
        return SkipvidError.exit_code


def _complain(message: str, hint: str | None) -> None:
    """One line: what is wrong and where, then what to do."""
    text = printable(" ".join(message.split()).rstrip("."))
    with suppress(OSError):  # nobody can be told
        click.echo(without_secrets(f"skipvid: {text}" + (f"; {printable(hint)}" if hint else "")), err=True)


def print_traceback() -> None:
    """The traceback of the exception that is being handled, without the passwords of the addresses in it."""
    with suppress(OSError):
        click.echo(without_secrets(traceback.format_exc()), err=True, nl=False)
