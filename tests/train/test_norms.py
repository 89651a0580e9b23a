"""Measured BatchNorm statistics."""

import torch
from torch import nn

from skipvid.train.norms import settle_norms


def test_statistics_are_the_plain_average_over_the_batches():
    net = nn.Sequential(nn.BatchNorm2d(2, momentum=0.5))
    batches = [torch.randn(4, 2, 6, 6) * scale + shift for scale, shift in ((1.0, 0.0), (3.0, 5.0), (2.0, -1.0))]
    settle_norms(net, batches)
    mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    variance = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(net[0].running_mean, mean, atol=1e-5)
    assert torch.allclose(net[0].running_var, variance, rtol=1e-4)
    assert net[0].momentum == 0.5 and not net.training and not net[0].training


def test_parameters_and_kept_statistics_stay():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    settle_norms(net, [torch.randn(2, 3, 5, 5) + 3], keep=("1.",))
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"3.running_mean", "3.running_var", "3.num_batches_tracked"}
