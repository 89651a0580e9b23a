"""Mistakes of the caller: each gets the right error, in one line that says what and where, with a hint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from function_network import Net
from sample_networks import converted
from torch import Tensor, nn

from skipvid.core.errors import BackendError, SkipvidError, UsageError
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

IMAGE = torch.zeros(1, 3, 8, 8)


def one_line(error: SkipvidError) -> bool:
    return "\n" not in str(error) and bool(error.hint)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": -1.0}, "threshold is -1.0"),
        ({"threshold": math.inf}, "threshold is inf"),
        ({"block": 3}, "block is 3"),
        ({"block": 0}, "block is 0"),
        ({"gate": "magic"}, "gate is 'magic'"),
        ({"backend": "abacus"}, "backend is 'abacus'"),
        ({"reference": "previous frame but one"}, "reference is 'previous frame but one'"),
        ({"refresh": -1}, "refresh is -1"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"precision": "bf16", "reference": "previous"}, "the precision is bf16, and the reference is 'previous'"),
        ({"thresholds": {"conv2d_3": -0.1}}, "threshold of map conv2d_3 is -0.1"),
        ({"scales": {"conv2d_3": math.nan}}, "scale of map conv2d_3 is nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        SkipConfig(**settings)
    assert one_line(caught.value)


def test_network_in_training_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="Conv2d is in training mode") as caught:
        convert(nn.Conv2d(3, 4, 3), IMAGE)
    assert one_line(caught.value)


class Undecided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


@pytest.mark.parametrize(
    ("net", "example", "message"),
    [
        (nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 8, 8), r"\[\(2, 3, 8, 8\)\]"),
        (nn.Conv2d(3, 4, 3), torch.zeros(()), r"\[\(\)\]"),
        (nn.Conv2d(4, 4, 3), IMAGE, "Conv2d cannot be exported"),
        (Undecided(), IMAGE, "Undecided cannot be exported"),
        (nn.Bilinear(8, 8, 2), IMAGE, "Bilinear cannot be exported"),  # wants two inputs
    ],
)
def test_what_cannot_be_converted_is_refused_with_the_reason(net: nn.Module, example: Tensor, message: str) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        convert(net.eval(), example)
    assert one_line(caught.value)


@pytest.mark.parametrize(
    "frame", [torch.zeros(1, 3, 45, 37, dtype=torch.uint8), torch.zeros(1, 3, 45, 37).double(), np.zeros((1, 3, 45, 37), np.float32), None]
)
def test_frames_that_are_no_float32_tensors_are_refused(frame: Any) -> None:
    session = converted("everything")[1].session()
    with pytest.raises(UsageError, match="the inputs of the network are") as caught:
        session(frame)
    assert one_line(caught.value)


def test_batch_of_frames_is_refused_and_the_session_goes_on() -> None:
    session = converted("everything")[1].session()
    session(torch.zeros(1, 3, 45, 37))
    with pytest.raises(BackendError, match="one stream"):
        session(torch.zeros(2, 3, 45, 37))
    session(torch.zeros(1, 3, 45, 37))
    assert session.keyframe


def test_account_of_a_session_that_has_run_nothing_is_refused() -> None:
    session = converted("everything")[1].session()
    for account in (lambda: session.cost, lambda: session.computed, session.activity):
        with pytest.raises(UsageError, match="has run no frame") as caught:
            account()
        assert one_line(caught.value)


def test_report_names_what_runs_densely_and_why() -> None:
    layers = {"conv": nn.Conv2d(3, 4, 3, padding=1), "last": nn.Conv2d(4, 4, 3, padding=1)}
    report = convert(Net(lambda m, x: m.last(m.conv(x).cumsum(3).tril()), **layers), torch.zeros(1, 3, 8, 7))[1]
    assert {target for _, target, _ in report.dense} == {"aten.cumsum.default", "aten.tril.default"}
    assert all(reason for _, _, reason in report.dense)
    assert report.gated == 2 and report.operations["conv"] == 2
    assert all(name in str(report) for name, _, _ in report.dense)
