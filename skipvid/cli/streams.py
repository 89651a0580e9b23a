"""The standard streams as they are found: closed, full, in an old encoding, with a reader that goes away."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from skipvid.core.errors import OutputError
from skipvid.core.files import output_errors

READER_GONE = 141  # as if the signal had ended the program: 128 + SIGPIPE
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def open_standard() -> None:
    """Make descriptors 0, 1 and 2 lead somewhere, before any file is opened and gets one of these numbers.

    What is said on a closed stderr is lost; what is printed on a closed stdout fails as it should (a bad file descriptor).
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)  # the lowest free number: this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class ReaderGone(OutputError):
    """The reader of stdout has ended, as in `| head`."""

    exit_code = READER_GONE


@contextmanager
def named_errors() -> Iterator[None]:
    """What is printed within reaches stdout, or an OutputError says why not; so does one about a full disk that nobody has named."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        failure = flush()
        if failure is not None and failure.errno == errno.EPIPE:
            raise ReaderGone("stdout cannot be written: its reader has ended") from None
        if failure is not None:
            with output_errors("stdout"):
                raise failure from None
        if error.errno in _NO_SPACE:
            with output_errors(error.filename or "stdout or a file"):
                raise
        raise
    finally:
        flush()


def flush() -> OSError | None:
    """Write what is left on stdout. Where that fails, send it nowhere, so that Python does not complain at its end; returns why."""
    try:
        sys.stdout.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        return error
    except ValueError:  # closed
        pass
    return None
