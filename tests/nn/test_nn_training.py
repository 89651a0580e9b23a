"""Joint training of Gumbel gates and weights on a toy task: find the bright square among noise that flickers everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from skipvid.nn import GumbelGate, convert_modules, macs, run_clip, skip_layers, sparsity_loss


def _batch(seed: int) -> tuple[Tensor, Tensor]:
    """Clips (8, 4, 1, 16, 16) in which a square moves, and where it is, (8, 4, 1, 16, 16)."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.zeros(8, 4, 1, 16, 16)
    start = torch.randint(1, 8, (8, 2), generator=generator)
    step = torch.randint(0, 2, (8, 2), generator=generator)
    for n in range(8):
        for t in range(4):
            top, left = (start[n] + t * step[n]).tolist()
            truth[n, t, 0, top : top + 4, left : left + 4] = 1
    return truth + 0.1 * torch.randn(truth.shape, generator=generator), truth


def _task_loss(model: nn.Module, clip: Tensor, truth: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(run_clip(model, clip), truth)


def _train(model: nn.Module, steps: int, beta: float, first_seed: int) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps):
        optimiser.zero_grad()
        loss = _task_loss(model, *_batch(first_seed + step))
        (loss + beta * sparsity_loss(model)).backward()
        optimiser.step()


def _measure(model: nn.Module) -> tuple[float, float, float]:
    """Task loss, sparsity loss and executed share of the MACs after keyframes, with hard gates, on clips not trained on."""
    model.eval()
    with torch.no_grad():
        task = _task_loss(model, *_batch(10_000)).item()
        total = macs(model).total
        result = task, sparsity_loss(model).item(), total.macs[:, 1:].double().mean().item() / total.dense_macs
    model.train()
    return result


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "block"), [("accumulated", 1), ("accumulated", 4), ("previous", 1)])
def test_joint_training_closes_the_gates_and_keeps_the_task(reference: str, block: int) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    model, report = convert_modules(
        plain, select=lambda path, _: path != "4", gate=GumbelGate(block, open_rate=0.95, on_magnitude=True), reference=reference
    )
    _train(model, 40, 0.0, 0)
    task_before, sparsity_before, executed_before = _measure(model)
    _train(model, 80, 0.1, 1000)
    task_after, sparsity_after, executed_after = _measure(model)
    assert sparsity_after < 0.6 * sparsity_before and executed_after < 0.6 * executed_before
    assert task_after < 1.2 * task_before + 0.01 and task_after < 0.02  # 0.23 for the best constant prediction
    assert len(report.converted) == len(list(skip_layers(model))) == 2
