"""The examples of docs/nn.md run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "nn.md"


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, example {number + 1}", "exec"), names)
    assert names["layer"].cost.skip_ratio.shape == (2, 5)
    assert names["student"][0].gate.weight.grad is not None
    assert names["loss"].item() > 0 and names["adaptive"][2].cheap[0].weight.grad is not None
    assert names["session"].choices == {"2": 0}
    printed = capsys.readouterr().out
    assert "2 layers converted, 0 left dense" in printed and "MACs" in printed
