"""The native CPU executor, where it was built. Everything else in this package imports the extension; this file says whether it can."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

_sets: tuple[str, ...] = ()
_half_sets: tuple[str, ...] = ()
_reason = "it was not compiled when skipvid was installed"
if find_spec("skipvid.skip.cpu._native") is not None:
    try:
        from skipvid.skip.cpu import _native
    except ImportError as error:
        _reason = f"the compiled extension cannot be loaded: {error}"
    else:
        _sets = tuple(_native.instruction_sets())
        # The last one emulates instructions, for tests.
        _half_sets = tuple(name for name in _native.instruction_sets(_native.Element.BF16) if name != "amx_emulated")

HOW_TO_BUILD = "for full speed install a C++20 compiler (GCC 11, Clang 14 or newer) and then skipvid once more"


@dataclass(frozen=True, slots=True)
class Status:
    """available: whether the back end "cpu" can be used; reason: why not, "" where it can.

    instruction_sets: compiled kernels that this processor runs, the one in use first; half_sets: of half precision. threads: used unless
    a configuration says otherwise.
    """

    available: bool
    reason: str
    instruction_sets: tuple[str, ...]
    threads: int
    half_sets: tuple[str, ...] = ()

    @property
    def multiplies_bf16(self) -> bool:
        """Whether there are kernels for the processor's own instructions: then half precision is the faster one."""
        return any(name.endswith("_bf16") for name in self.half_sets)


def status() -> Status:
    """What `skipvid doctor` tells of the native kernels."""
    if not _sets:
        return Status(False, _reason, (), 0)
    from skipvid.core.cores import usable_cores

    return Status(True, "", _sets, usable_cores(), _half_sets)
