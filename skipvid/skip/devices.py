"""Values live in main memory, whatever device a caller has made torch's default."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

_NOTHING = nullcontext()


def in_main_memory() -> AbstractContextManager[object]:
    """A context in which tensors made without a device are on the CPU."""
    return _NOTHING if torch.get_default_device().type == "cpu" else torch.device("cpu")
