"""The back end "cpu": native kernels on all cores."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from skipvid.core.cores import usable_cores
from skipvid.core.errors import BackendError
from skipvid.skip.cpu._native import ThreadPool
from skipvid.skip.cpu.compiled import CompiledProgram
from skipvid.skip.cpu.file import ProgramFile, check

if TYPE_CHECKING:
    from skipvid.skip.cpu.program import NativeProgram
    from skipvid.skip.plan import Plan


class NativeBackend:
    """threads: how many compute at a time, the caller's included; 0 = one for each core that this process may use.

    instruction_set: one of skipvid.skip.cpu.instruction_sets(), or "" for the best.
    """

    name = "cpu"

    def __init__(self, threads: int = 0, instruction_set: str = "") -> None:
        self.threads = threads or usable_cores()
        self.instruction_set = instruction_set

    def compile(self, plan: Plan) -> NativeProgram:
        from skipvid.skip.cpu.program import NativeProgram  # PyTorch, which a program that was kept does without

        return NativeProgram(plan, _pool(self.threads), self.instruction_set)

    def load(self, content: ProgramFile) -> CompiledProgram:
        """A program that was kept on disk. Raises BackendError for one that fails a check."""
        program = CompiledProgram(content, _pool(self.threads), self.instruction_set)
        check(content)
        return program


@cache
def _pool(threads: int) -> ThreadPool:
    """One pool for all programs that want as many threads: they sleep between frames."""
    try:
        return ThreadPool(threads)
    except RuntimeError as error:
        raise BackendError(f"{threads} threads cannot be started: {error}", "ask for fewer") from error
