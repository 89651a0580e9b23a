"""PP-TinyPose: it loads the published numbering strictly, in order, and computes what the published network computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from sparsity import assert_runs_wholly_sparsely_and_exactly
from torch import nn

from skipvid.core.errors import WeightsError
from skipvid.models import build_model, load_weights
from skipvid.models.networks.tinypose import TinyPose


def published(net: nn.Module) -> dict[str, torch.Tensor]:
    """The network's parameters under the published numbers, which follow the order of execution."""
    order: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: order.append(module)) for module in net.modules() if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return {f"convs.Conv_{number}.{name}": value for number, module in enumerate(order) for name, value in module.state_dict().items()}


@pytest.fixture(scope="module")
def net() -> TinyPose:
    torch.manual_seed(0)
    network = build_model("tinypose_256x192")
    assert isinstance(network, TinyPose)
    return network.requires_grad_(False)


def test_the_size_is_the_published_one(net: TinyPose) -> None:
    assert sum(isinstance(module, nn.Conv2d) for module in net.modules()) == 269
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_300_177


def test_the_published_numbers_are_the_order_of_execution(net: TinyPose) -> None:
    other = build_model("tinypose_256x192")
    load_weights(other, published(net))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in net.state_dict().items())


def test_a_missing_number_is_refused_by_our_name_for_it(net: TinyPose) -> None:
    state = published(net)
    del state["convs.Conv_0.bias"]
    with pytest.raises(WeightsError, match=r"'stem\.conv\.bias' is missing"):
        load_weights(build_model("tinypose_256x192"), state)


@pytest.mark.parametrize("size", [(256, 192), (64, 96), (32, 32)])
def test_heat_maps_have_a_quarter_of_any_size(net: TinyPose, size: tuple[int, int]) -> None:
    assert net(torch.zeros(1, 3, *size)).shape == (1, 17, size[0] // 4, size[1] // 4)


@pytest.mark.slow
def test_a_converted_network_runs_wholly_sparsely_and_threshold_zero_is_exact(net: TinyPose) -> None:
    assert_runs_wholly_sparsely_and_exactly(net, frames=3)


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the published network's reader leaves its files open
def test_heat_maps_agree_with_the_published_network(data: Path) -> None:
    folder = data / "weights" / "tinypose_torch"
    spec = importlib.util.spec_from_file_location("ncnn_torch", folder / "ncnn_torch.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reference = module.NcnnNet(str(folder / "tinypose_256x192.param"), str(folder / "tinypose_256x192.bin")).eval()
    own = build_model("tinypose_256x192")
    load_weights(own, folder / "tinypose_256x192_state_dict.pt")
    x = torch.randn(1, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(own(x), reference(x), rtol=1e-5, atol=1e-6)
