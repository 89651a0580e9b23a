"""Which back end runs a network."""

from __future__ import annotations

import logging
from functools import lru_cache

from skipvid.core.errors import BackendError
from skipvid.skip import cpu as native
from skipvid.skip.backend import Backend
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.registry import kind_for

log = logging.getLogger(__name__)


def make_backend(config: SkipConfig) -> Backend:
    """The back end that a configuration asks for. Raises BackendError where that is "cpu" and cannot be.

    Kinds of gates without native kernels run on the reference: paper mode is there to be compared with.
    """
    status = native.status()
    if not kind_for(config).native:
        if config.backend == "cpu":
            what, instead = (f"the gate {config.gate}", "--gate norm")
            if config.reference == "previous":
                what, instead = "the reference 'previous'", "--reference accumulated"
            raise BackendError(f"the back end cpu has no kernels for {what}", f"use {instead}, or --backend reference")
        return _reference()
    if config.backend == "reference" or (config.backend == "auto" and not status.available):
        if config.backend == "auto":
            _tell_once(status.reason)
        return _reference()
    if not status.available:
        raise BackendError(f"the back end cpu cannot be used: {status.reason}", native.HOW_TO_BUILD)
    from skipvid.skip.cpu.backend import NativeBackend

    return NativeBackend(config.threads)


def _reference() -> Backend:
    from skipvid.skip.reference.executor import ReferenceBackend  # PyTorch, which native kernels do without

    return ReferenceBackend()


def precision_of(config: SkipConfig) -> str:
    """ "f32" or "bf16": what "auto" means on this processor. The reference only emulates half precision, and gains nothing from it."""
    if config.precision != "auto":
        return config.precision
    on_cpu = kind_for(config).native and config.backend != "reference"
    return "bf16" if on_cpu and native.status().multiplies_bf16 else "f32"


@lru_cache(maxsize=1)
def _tell_once(reason: str) -> None:
    log.warning("running on the slow back end reference, because the back end cpu cannot be used: %s; %s", reason, native.HOW_TO_BUILD)
