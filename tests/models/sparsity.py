"""What every network of the project must do once converted."""

from __future__ import annotations

import torch
from torch import nn

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig


def assert_runs_wholly_sparsely_and_exactly(net: nn.Module, frames: int, atol: float = 1e-5) -> None:
    """No layer falls back to dense, and at threshold 0 a patch that moves over (1, 3, 96, 64) gives what the network itself gives."""
    model, report = convert(net, torch.zeros(1, 3, 96, 64), SkipConfig(threshold=0.0, dense_above=1.0))
    assert report.dense == ()
    session = model.session()
    x = torch.randn(1, 3, 96, 64)
    for step in range(frames):
        x = x.clone()
        x[..., 20 + step : 24 + step, 30:34] += 0.5
        torch.testing.assert_close(session(x), net(x), rtol=1e-4, atol=atol)
    assert session.cost.saving > 0.05
