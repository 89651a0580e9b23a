"""Files that appear under their own name only when they are whole.

An output is written beside its place as `NAME.skipvid-XXXXXXXX.part`, X being random, and renamed when it is whole and on the disk. The
name is different in every run, so that neither a second run nor a file of the user's own is ever written into. While a run writes, it
holds a lock on its part file. A part file that nobody holds is what a killed run left behind: it plays or parses up to the last second,
the next run for the same output names it, and removes it once that output is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: there nothing tells a part file in use from one left behind, so none is removed
    fcntl = None  # type: ignore[assignment]

from skipvid.core.errors import OutputError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "your share of the disk is used up; free some space or write elsewhere",
    errno.EFBIG: "it grew beyond what the disk or a limit (ulimit -f) allows; write elsewhere",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
    errno.EROFS: "the disk is read-only; write elsewhere",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "choose another folder",
    errno.EPIPE: "whoever read it has ended",
    errno.EBADF: "it is closed; leave it open, or send it to /dev/null",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or give fewer outputs",
}
_SUFFIX = ".part"
_OWN = "skipvid-"
_LONGEST = 255  # bytes of a file name on nearly every file system, where the system does not tell


def no_folder(target: object, folder: Path) -> OutputError:
    """That a target cannot be written, as what should be its folder is missing, or is something else."""
    why = errno.ENOTDIR if folder.exists() else errno.ENOENT
    return OutputError(f"{target} cannot be written: {folder} is no folder", _HINTS[why])


@contextmanager
def output_errors(target: object, *kinds: type[Exception]) -> Iterator[None]:
    """Turns OSError and the other kinds of error given into OutputError while `target` is written."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutputError) or not isinstance(error, (OSError, *kinds)):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        hint = _HINTS.get(getattr(error, "errno", None) or 0, "check the disk and the folder")
        raise OutputError(f"{target} cannot be written: {reason}", hint) from error


class PartFile:
    """A new file that takes an output's place when it is whole.

    path: the output as the user named it; where it is a link, the file that it leads to is replaced, and the link stays. part: the file to
    write to, which is there from the beginning, and empty.

    Raises OutputError where no file can be made, and where another run is writing the same output.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._target = Path(os.path.realpath(path))
        self._open = False
        with output_errors(path), _alone_in(self._target.parent):
            held, self._left = _part_files(self._target)
            if held:
                raise OutputError(
                    f"{path} is being written already, by another run or by another output of this one",
                    "wait for it, or choose another name",
                )
            for older in self._left[:-1]:  # so that they do not pile up where every run is killed
                _remove_if_left(older)
            self.part, self._file = self._create()
            self._open = True

    @contextmanager
    def exchanged(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """(what was written so far, a new part file that takes its place when the block ends).

        An error in the block takes the new one away. Until the end the one before stays, for a run that is killed meanwhile.
        """
        part, file = self._create()
        try:
            with self.part.open("rb") as before, part.open("r+b") as after:
                yield before, after
        except BaseException:
            part.unlink(missing_ok=True)
            os.close(file)
            raise
        self.discard()
        self.part, self._file, self._open = part, file, True

    def commit(self) -> None:
        """Bring the content to the disk and the file to its place. The permissions of a file that was there are kept."""
        with output_errors(self.path):
            with suppress(FileNotFoundError):
                _take_over_mode(self._target, self._file)
            _sync(self._file)
            if not self._still_there():
                raise OutputError(f"{self.path} was not written: somebody removed {self.part.name} meanwhile", "run again")
            os.replace(self.part, self._target)
            self._release()
            _sync_folder(self._target.parent)
            written = self._target.stat()
        if not stat.S_ISREG(written.st_mode):
            raise OutputError(f"{self.path} was written, and is no file now", "check the folder")
        self.remove_left_behind()

    def remove_left_behind(self) -> None:
        """Remove what killed runs left of this output; `commit` does it."""
        with _alone_in(self._target.parent):
            for path in self._left:
                _remove_if_left(path)

    def discard(self) -> None:
        """Throw the file away. After `commit` it does nothing. May be called twice."""
        if self._open:
            if self._still_there():
                self.part.unlink(missing_ok=True)
            self._release()

    def __del__(self) -> None:
        if getattr(self, "_open", False):  # nobody can complete it any more
            self.discard()

    def _release(self) -> None:
        self._open = False
        os.close(self._file)

    def _still_there(self) -> bool:
        """Whether the part's name leads to the file that was made."""
        try:
            return os.path.samestat(os.stat(self.part, follow_symlinks=False), os.fstat(self._file))
        except OSError:
            return False

    def _create(self) -> tuple[Path, int]:
        while True:
            part = self._target.with_name(f"{_stem_of_part(self._target)}.{_OWN}{secrets.token_hex(4)}{_SUFFIX}")
            try:
                file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            except FileExistsError:
                continue
            _lock(file)
            return part, file


def left_behind(path: Path) -> list[Path]:
    """What killed runs left of an output: part files that no run writes to, the newest last."""
    try:
        return _part_files(Path(os.path.realpath(path)))[1]
    except OSError:
        return []


def _part_files(target: Path) -> tuple[bool, list[Path]]:
    """Whether a run is writing the target, and the part files of killed runs, the newest last."""
    pattern = re.compile(re.escape(f"{_stem_of_part(target)}.{_OWN}") + r"[0-9a-f]{8}" + re.escape(_SUFFIX))
    try:
        with os.scandir(target.parent) as entries:
            found = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    except PermissionError:  # a folder that may be written to and not looked into
        return False, []
    held = {path: _is_held(path) for path in found}
    left = [path for path, state in held.items() if state is False]
    return any(held.values()), sorted(left, key=lambda path: path.stat().st_mtime)


def longest_name(folder: Path) -> int:
    """Bytes that a file's name may have in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return _LONGEST


def cut_name(name: str, most: int) -> str:
    """A name of at most so many bytes: one that is longer is cut and gets a number made of all of it, so that different names stay so."""
    data = os.fsencode(name)
    if len(data) <= most:
        return name
    mark = "~" + hashlib.sha256(data).hexdigest()[:8]
    while len(os.fsencode(name)) > most - len(mark):  # by characters: a cut one would be no UTF-8
        name = name[:-1]
    return name + mark


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file under its final name; raises OutputError and leaves nothing behind where that fails."""
    file = PartFile(path)
    try:
        with output_errors(path):
            file.part.write_bytes(data)
        file.commit()
    finally:
        file.discard()


def write_text(path: Path, text: str) -> None:
    """write_bytes of text as UTF-8; what cannot be encoded (bytes of a file name that were none) is escaped."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """As write_text, of files that belong together: where one of them cannot be written, none is there."""
    with ExitStack() as stack:
        files = []
        for path, text in texts.items():
            files.append(file := PartFile(path))
            stack.callback(file.discard)
            with output_errors(path):
                file.part.write_bytes(text.encode("utf-8", "backslashreplace"))
        for file in files:
            file.commit()


def _stem_of_part(target: Path) -> str:
    return cut_name(target.name, longest_name(target.parent) - len(f".{_OWN}12345678{_SUFFIX}"))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """While one run looks for others that write the same output, and takes the lock of its own, others wait."""
    try:
        file = os.open(folder, os.O_RDONLY)
    except OSError:  # It may be written to and not looked into, or it is gone, which will be found out; Windows opens no folders.
        yield
        return
    try:
        for _ in range(100):  # Another program may hold the folder for a reason of its own: wait for some seconds at most.
            if _lock(file) is not False:
                break
            time.sleep(0.05)
        yield
    finally:
        os.close(file)


def _lock(file: int) -> bool | None:
    """Lock an open file. False where somebody holds it, None where there are no locks (Windows, some network disks)."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_held(path: Path) -> bool | None:
    """Whether a run writes to a part file; None where nobody can tell."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        locked = _lock(file) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)
    return None if locked is None else not locked


def _remove_if_left(path: Path) -> None:
    if _is_held(path) is False:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _take_over_mode(target: Path, file: int) -> None:
    """Give the new file the permissions of the one it replaces, and its group and owner where that is allowed."""
    before = os.stat(target)
    now = os.fstat(file)
    if hasattr(os, "fchown") and (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        try:
            os.fchown(file, before.st_uid, before.st_gid)
        except OSError:
            with suppress(OSError):
                os.fchown(file, -1, before.st_gid)
    if hasattr(os, "fchmod"):
        with suppress(OSError):  # disks without permissions
            os.fchmod(file, stat.S_IMODE(before.st_mode))


def _sync(file: int) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # disks that cannot; they have said nothing of the content
            raise


def _sync_folder(folder: Path) -> None:
    """Without it, a power cut may take the new name back. Not every system lets folders be opened or synced."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
