"""torch.export, and what it says when it cannot: one error, with the place in the network and what to do."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from skipvid.core.errors import BackendError
from skipvid.skip.importers.functional import make_functional
from skipvid.skip.importers.places import causes, place_of_error

CONVERT_THE_REST = (
    "convert the part before it (of a detector its backbone and head, without decoding and NMS) and run the rest on its result in PyTorch"
)
LONGEST_REASON = 240
_VALUE_ERRORS = {"GuardOnDataDependentSymNode", "DataDependentOutputException", "DynamicOutputShapeException"}
_VALUE_TEXTS = ("data-dependent", "data dependent", ".numpy() is not supported", "Cannot call numel() on tensor with symbolic")

_lock = threading.RLock()
"""torch.export changes things that belong to the whole process while it runs."""


def export(net: nn.Module, examples: tuple[Tensor, ...]) -> ExportedProgram:
    """Trace `net` with torch.export into functional ATen operations, none of them decomposed further.

    Nobody else may use `net` meanwhile. Retracing an exported network into functional form takes twice as long as exporting it, so it is
    left out where not needed. Raises BackendError with torch's reason where the network cannot be exported.
    """
    with _lock, _silence():
        try:
            exported: ExportedProgram = torch.export.export(net, examples, strict=False)
            return exported if make_functional(exported.graph) else exported.run_decompositions({})
        except Exception as error:
            raise _refusal(net, examples, error) from error


class _OtherThreads(io.TextIOBase):
    """Passes on what other threads than the one that made it write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._own = stream, threading.get_ident()

    def write(self, text: str, /) -> int:
        return len(text) if threading.get_ident() == self._own else self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def _silence() -> Iterator[None]:
    """Without torch's warnings and logs about its own internals; tensors without a device are made in memory, whatever the default."""
    logger = logging.getLogger("torch")
    level = logger.level
    # torch.export prints all of a network that it fails on.
    with warnings.catch_warnings(), contextlib.redirect_stderr(_OtherThreads(sys.stderr)):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            if torch.get_default_device().type == "cpu":
                yield
            else:
                with torch.device("cpu"):
                    yield
        finally:
            logger.setLevel(level)


def _refusal(net: nn.Module, examples: Sequence[Tensor], error: Exception) -> BackendError:
    name, place = type(net).__name__, place_of_error(error, net)
    failed = f"the network {name} cannot be exported"
    at = f" (in {place})" if place else ""
    if _depends_on_values(error):
        return BackendError(f"{failed}: what it does depends on values: {_reason(error)}{at}", CONVERT_THE_REST)
    own = _own_error(net, examples)
    if own is not None:
        inputs = ", ".join(f"{tuple(item.shape)} {str(item.dtype).removeprefix('torch.')}" for item in examples)
        place = place_of_error(own, net)
        at = f" (in {place})" if place else ""
        return BackendError(
            f"{failed}: it does not run on the inputs {inputs}: {_reason(own)}{at}",
            "pass an example that the network itself accepts: as many inputs, of the same sizes and types",
        )
    return BackendError(
        f"{failed}: {_reason(error)}{at}",
        "torch.export must accept it: no control flow that depends on values, fixed shapes; or " + CONVERT_THE_REST,
    )


def _depends_on_values(error: Exception) -> bool:
    return any(type(cause).__name__ in _VALUE_ERRORS or any(text in str(cause) for text in _VALUE_TEXTS) for cause in causes(error))


def _own_error(net: nn.Module, examples: Sequence[Tensor]) -> Exception | None:
    """What the network raises when it is called as it is: then torch.export is not to blame."""
    try:
        with torch.no_grad():
            net(*examples)
    except Exception as error:
        return error
    return None


def _reason(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    kind = type(error).__name__
    if not text:
        return "an assertion of the network failed" if isinstance(error, AssertionError) else kind
    text = f"{kind} {text}" if isinstance(error, KeyError | AttributeError | IndexError | StopIteration) else text
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + " …"
