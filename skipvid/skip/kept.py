"""Compiled programs kept on disk, so that a later run starts without PyTorch.

A file is found by everything that its program depends on: weights, network, input sizes, gates, precision, and the code that made it. It is
read as data and checked as a whole; what is missing, damaged or foreign is compiled anew and takes its place. A folder that cannot be
read or written is no error. The oldest files go where the folder grows beyond LIMIT.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import skipvid
from skipvid.core.errors import BackendError, OutputError

if TYPE_CHECKING:
    from skipvid.skip.backend import Backend, PlannedProgram, Program
    from skipvid.skip.config import SkipConfig
    from skipvid.skip.picture import Shapes

log = logging.getLogger(__name__)

LIMIT = 1 << 30
"""Bytes of all files; the newest stays, whatever its size."""

OF_SESSIONS = frozenset({"backend", "threads", "refresh", "dense_above", "precision"})
"""Fields of SkipConfig that a program does not depend on; its precision is known by itself, as "auto" is none."""

SUFFIX = ".program"
LEFT_BEHIND = 24 * 3600.0
"""Seconds after which a part file is taken for what a killed run left."""


class KeptPrograms:
    """The programs of one network. folder: made when the first is kept. network: whatever tells it from others, its weights' hash first."""

    def __init__(self, folder: Path, network: Mapping[str, str]) -> None:
        self._folder = folder
        self._network = dict(network)
        self._prefix = _digest(self._network)[:16]

    @property
    def any(self) -> bool:
        """Whether some program of this network is there, so that it was once built and its weights fitted."""
        return any(path.name.startswith(f"{self._prefix}-") for _, _, path in _files(self._folder))

    def find(self, backend: Backend, config: SkipConfig, precision: str, shapes: Shapes) -> Program | None:
        """The program for inputs of these shapes, ready to run; None where there is none that passes the checks."""
        if backend.name != "cpu":
            return None
        from skipvid.skip.cpu import file
        from skipvid.skip.cpu.backend import NativeBackend

        if not isinstance(backend, NativeBackend):
            return None
        about = self._about(config, precision, shapes)
        path = self._path(about)
        try:
            if not path.is_file():
                return None
            content = file.read(path)
            if content.about != about or tuple(item.shape for item in content.inputs) != shapes:
                raise BackendError(f"{path} is the program of something else")
            program = backend.load(content)
        except (BackendError, OSError) as error:
            log.debug("compiling anew: %s", error)
            return None
        with suppress(OSError):
            os.utime(path)  # what is used stays
        return program

    def keep(self, program: PlannedProgram, config: SkipConfig, precision: str, shapes: Shapes) -> None:
        """Keep a program that runs natively as a whole; others are compiled at each start."""
        from skipvid.skip.cpu import file
        from skipvid.skip.cpu.program import NativeProgram

        if not isinstance(program, NativeProgram):
            return
        about = self._about(config, precision, shapes)
        try:
            content = program.as_file(about)
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write(self._path(about), content)
            _shrink(self._folder, self._path(about))
        except (BackendError, OutputError, OSError) as error:
            log.debug("the program is not kept: %s", error)

    def _path(self, about: Mapping[str, str]) -> Path:
        return self._folder / f"{self._prefix}-{_digest(about)[:32]}{SUFFIX}"

    def _about(self, config: SkipConfig, precision: str, shapes: Shapes) -> dict[str, str]:
        values = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in OF_SESSIONS}
        gates = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        gates["learned_gates"] = {
            name: hashlib.sha256(gate.weight.numpy(force=True).tobytes() + repr((gate.bias, gate.magnitude)).encode()).hexdigest()
            for name, gate in config.learned_gates.items()
        }
        return {
            **self._network,
            "inputs": json.dumps(shapes),
            "gates": json.dumps(gates, sort_keys=True),
            "precision": precision if precision == "f32" else f"{precision} {_rounded_by()}",
            "skipvid": skipvid.__version__,
            "code": _code(),
        }


@cache
def _rounded_by() -> str:
    """What the biases of half precision depend on, to the last bit: how PyTorch adds up (half_weights.py)."""
    from importlib.metadata import PackageNotFoundError, version

    from skipvid.skip import cpu

    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return " ".join((torch, *cpu.status().instruction_sets))


def _digest(about: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def kept_bytes(folder: Path) -> int:
    """Bytes of all programs in a folder; 0 where it is missing or cannot be read."""
    return sum(size for _, size, _ in _files(folder))


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of the last use, bytes and path of each program."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # another run may remove it meanwhile
                if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    yield found.st_mtime, found.st_size, Path(entry.path)


def _shrink(folder: Path, newest: Path) -> None:
    """Remove the files that were used longest ago until the rest is within LIMIT, and what killed runs left."""
    total = 0
    for _, size, path in sorted(_files(folder), reverse=True):
        total += size
        if total > LIMIT and path != newest:
            path.unlink(missing_ok=True)
    for part in folder.glob(f"*{SUFFIX}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFT_BEHIND:
                part.unlink()


@cache
def _code() -> str:
    """Tells apart the code that makes and reads programs, also between two versions that carry one number, as in development."""
    from skipvid.skip.cpu import _native

    package = Path(skipvid.__file__).parent
    files = [*sorted((package / "skip").rglob("*.py")), *sorted((package / "models").rglob("*.py")), Path(str(_native.__file__))]
    digest = hashlib.sha256()
    for path in files:
        with suppress(OSError):
            found = path.stat()
            digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
