"""Networks by name."""

from __future__ import annotations

import pytest
import torch

from skipvid.core.errors import PresetError, UsageError
from skipvid.models import build_model, model_names
from skipvid.models.networks.efficientdet import EfficientDet


def test_a_network_comes_in_eval_mode_with_the_size_asked_for() -> None:
    with torch.device("meta"):
        net = build_model("tf_efficientdet_d1", image_size=(384, 640), num_classes=3)
    assert isinstance(net, EfficientDet)
    assert not net.training
    assert net.config.image_size == (384, 640)
    classes, boxes = net(torch.zeros(1, 3, 384, 640, device="meta"))
    assert classes[0].shape == (1, 27, 48, 80) and boxes[0].shape == (1, 36, 48, 80)


@pytest.mark.parametrize("name", model_names())
def test_every_known_name_builds(name: str) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in build_model(name).parameters()) > 5e5


@pytest.mark.parametrize(
    ("name", "hint"), [("tf_efficientdet_d9", "did you mean tf_efficientdet_d"), ("resnet", "known: tf_efficientdet_d0, ")]
)
def test_an_unknown_name_is_answered_with_known_ones(name: str, hint: str) -> None:
    with pytest.raises(PresetError, match=f"unknown network '{name}'") as caught:
        build_model(name)
    assert caught.value.hint is not None and hint in caught.value.hint


@pytest.mark.parametrize("size", [(0, 512), (-32, 512), (500, 512), (512, 511)])
def test_a_size_that_the_network_cannot_take_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="not a multiple of 32"):
        build_model("efficientdet-nano", size)


def test_a_network_without_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one class"):
        build_model("efficientdet-nano", num_classes=0)
