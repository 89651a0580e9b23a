"""Streams of many sizes at a time, as of cameras of several makes: no plan is made twice while a stream runs on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from skipvid.skip.api import SkipModel, convert
from skipvid.skip.backend import Program
from skipvid.skip.config import SkipConfig
from skipvid.skip.source import MOST_PLANS


def test_streams_of_more_sizes_than_plans_are_remembered_do_not_thrash(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[Any] = Counter()
    compiled = SkipModel._compiled

    def counted(model: SkipModel, shapes: Any) -> Program:
        made[shapes] += 1
        return compiled(model, shapes)

    monkeypatch.setattr(SkipModel, "_compiled", counted)
    model, _ = convert(nn.Conv2d(3, 4, 3, padding=1).eval(), torch.zeros(1, 3, 8, 8), SkipConfig(threads=1))
    sizes = [(8 + step, 16) for step in range(2 * MOST_PLANS)]
    sessions = [model.session() for _ in sizes]
    for _ in range(3):
        for session, size in zip(sessions, sizes, strict=True):
            session(torch.rand(1, 3, *size))
    assert [made[((1, 3, *size),)] for size in sizes] == [1] * len(sizes)
