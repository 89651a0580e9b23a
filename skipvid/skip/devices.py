"""Values live in main memory, whatever device a caller has made torch's default."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

_NOTHING = nullcontext()


def in_main_memory() -> AbstractContextManager[object]:
    """A context in which tensors made without a device are on the CPU."""
    torch = sys.modules.get("torch")  # without it nobody has made anything its default
    # What an empty tensor says, torch.get_default_device() takes much longer to find out.
    if torch is None or torch.empty(0).is_cpu:
        return _NOTHING
    context: AbstractContextManager[object] = torch.device("cpu")
    return context
