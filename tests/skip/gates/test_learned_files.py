"""Learned gates in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from skipvid.core.errors import WeightsError
from skipvid.skip.gates.learned import FILE_KIND, LearnedGate, load_gates, save_gates


def test_gates_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "gates.pt"
    save_gates({"a.b": LearnedGate(torch.tensor([0.5, 1.0]), -0.25, False)}, path, {"steps": 3})
    (gate,) = load_gates(path).values()
    assert torch.equal(gate.weight, torch.tensor([0.5, 1.0])) and gate.bias == -0.25 and gate.magnitude is False


WHOLE = {"weight": torch.ones(2), "bias": 0.5, "magnitude": True}


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"a": torch.ones(1)}},
        {"kind": FILE_KIND, "gates": {}},
        {"kind": FILE_KIND, "gates": {"a": {}}},
        {"kind": FILE_KIND, "gates": {"a": {**WHOLE, "weight": torch.ones(2, 2)}}},
        {"kind": FILE_KIND, "gates": {"a": {**WHOLE, "weight": torch.tensor([float("nan")])}}},
        {"kind": FILE_KIND, "gates": {"a": {**WHOLE, "bias": float("inf")}}},
        [1, 2],
    ],
)
def test_other_files_are_refused_with_their_name(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "gates.pt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="gates.pt"):
        load_gates(path)


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        load_gates(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("gates")
    with pytest.raises(WeightsError, match="no file of learned gates"):
        load_gates(tmp_path / "text.pt")
