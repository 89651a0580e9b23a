"""What is said to the user while working: messages and progress, on stderr and into a log file; never on stdout."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from skipvid.cli.settings.groups import TalkSettings
from skipvid.core.errors import OutputError
from skipvid.core.text import printable, without_secrets

if TYPE_CHECKING:
    from tqdm import tqdm

    from skipvid.core.results import FrameResult

PLAIN_SECONDS = 10.0
"""Seconds between lines of progress where stderr is no terminal: a log file wants few of them."""


class Talk:
    """Speaks at the wanted volume. Raises OutputError where the log file cannot be opened."""

    def __init__(self, settings: TalkSettings | None = None) -> None:
        settings = settings or TalkSettings()
        self.quiet, self.verbose = settings.quiet, settings.verbose
        self._log: TextIO | None = None
        if settings.log_file is not None:
            try:
                self._log = Path(settings.log_file).open("a", encoding="utf-8")
            except OSError as error:
                raise OutputError(f"log file {settings.log_file} cannot be written: {error.strerror}") from None

    def say(self, text: str, detail: bool = False) -> None:
        """A message; detail: only with -v (but always into the log file)."""
        if not self.quiet and (self.verbose or not detail):
            _echo(text)
        self._write_log(text)

    def warn(self, text: str) -> None:
        """Something that the user should know even with -q."""
        _echo(f"skipvid: warning: {text}")
        self._write_log(f"warning: {text}")

    def complain(self, text: str) -> None:
        """An error that does not end the program."""
        _echo(f"skipvid: {text}")
        self._write_log(f"error: {text}")

    def _write_log(self, text: str) -> None:
        if self._log is None:
            return
        try:
            self._log.write(f"{datetime.now().isoformat(timespec='seconds')} {without_secrets(printable(text))}\n")
            self._log.flush()
        except OSError as error:  # a full disk: results matter more than the log
            self.close()
            self.warn(f"the log file ends here: {error.strerror}")

    def close(self) -> None:
        """Close the log file. May be called twice."""
        log, self._log = self._log, None
        if log is not None:
            with suppress(OSError):
                log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _echo(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed, a full log: the results do not depend on it
        click.echo(without_secrets(printable(text)), err=True)


class Progress:
    """Frames done, frames per second, MACs saved and the time left: a bar on a terminal, a line now and then elsewhere.

    total: frames expected, None where nobody knows.
    """

    def __init__(self, talk: Talk, name: str, total: int | None) -> None:
        self._talk, self._name, self._total = talk, name, total
        self._begin = self._spoken = time.monotonic()
        self._frames = 0
        self._macs = self._dense = 0
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty() and not talk.quiet:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=name, unit="frame", dynamic_ncols=True, leave=False)

    def __call__(self, result: FrameResult) -> None:
        """Count a frame."""
        self._frames += 1
        if result.cost is not None:
            self._macs += result.cost.macs
            self._dense += result.cost.dense_macs
        if self._bar is not None:
            if self._dense:
                self._bar.set_postfix_str(f"{self._saved():.0%} MACs saved", refresh=False)
            self._bar.update()
        elif time.monotonic() - self._spoken >= PLAIN_SECONDS:
            self._spoken = time.monotonic()
            self._talk.say(self._line())

    def _saved(self) -> float:
        return 1 - self._macs / self._dense

    def _line(self) -> str:
        seconds = time.monotonic() - self._begin
        parts = [f"{self._name}: frame {self._frames}" + (f" of about {self._total}" if self._total else "")]
        parts.append(f"{self._frames / seconds:.1f} fps")
        if self._dense:
            parts.append(f"{self._saved():.0%} MACs saved")
        if self._total and self._frames < self._total:
            left = round(seconds / self._frames * (self._total - self._frames))
            parts.append(f"{left // 60}:{left % 60:02} left")
        return ", ".join(parts)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class DownloadBar:
    """Shows the progress of a download: call it with the bytes that are there and the bytes expected, or None."""

    def __init__(self, talk: Talk, name: str) -> None:
        self._talk, self._name = talk, name
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        if self._talk.quiet:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=f"weights of {self._name}", unit="B", unit_scale=True, leave=False)
        self._bar.update(done - self._bar.n)
        if total is not None and done >= total:
            self._bar.close()
            self._bar = None
