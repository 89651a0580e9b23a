"""The gates of benchmarks/oracle.py, which know what a pixel's residual does to the results."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from oracle import Gradients, OracleGate  # noqa: E402


@pytest.mark.parametrize(("signed", "opened"), [(True, [[False, False, True, True]]), (False, [[False, True, True, True]])])
def test_a_pixel_opens_by_what_its_residual_does_and_not_by_its_size(signed: bool, opened: list[list[bool]]) -> None:
    """Of four pixels one has no slope, one a residual that cancels, one an effect of 2, and one is no number."""
    gradients = Gradients(directions=1)
    gradients.maps["x"] = torch.tensor([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]).view(1, 2, 1, 4)
    change = torch.tensor([[9.0, 1.0, 1.0, float("nan")], [9.0, -1.0, 1.0, 0.0]]).view(1, 2, 1, 4)
    gate = OracleGate("x", gradients, limit_squared=1.0, signed=signed)
    assert gate.opened(change, torch.zeros_like(change), 1.0)[0, 0].tolist() == opened
    shut = OracleGate("x", gradients, limit_squared=4.0, signed=signed)
    assert shut.opened(change, torch.zeros_like(change), 1.0)[0, 0].tolist() == [[False, False, False, True]]
