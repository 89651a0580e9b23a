"""skipvid: video analysis that computes only what changed.

For networks of your own:

    net = skipvid.build_model("tf_efficientdet_d1", image_size=(640, 640))      # or any torch.nn.Module in eval mode
    model, report = skipvid.convert(net, torch.zeros(1, 3, 640, 640), skipvid.SkipConfig(threshold=0.03))
    session = model.session()                                                    # the state of one stream
    output = session(frame)                                                      # what net(frame) returns
    session.cost                                                                 # what it cost
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skipvid.models import build_model, load_weights
    from skipvid.skip.api import SkipModel, convert
    from skipvid.skip.config import SkipConfig
    from skipvid.skip.session import Session

__version__ = "0.1.0"
__all__ = ["Session", "SkipConfig", "SkipModel", "__version__", "build_model", "convert", "load_weights"]

_HOMES = {
    "Session": "skipvid.skip.session",
    "SkipConfig": "skipvid.skip.config",
    "SkipModel": "skipvid.skip.api",
    "build_model": "skipvid.models",
    "convert": "skipvid.skip.api",
    "load_weights": "skipvid.models",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for: the command line must start at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'skipvid' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
