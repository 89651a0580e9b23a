"""Which exercise is it? A small R(2+1)D learns it from rendered clips, and then how many channels and frames it needs (VA-RED²).

    nice -n 19 python benchmarks/adaptive_actions.py --work FOLDER --write

Clips of 8 frames, 5 a second, 64 x 64 pixels, of one person who does one of six exercises (tools/render_samples); persons, rooms, light and
camera of the clips that are measured on do not occur among those that are learned from. The network has three blocks of a convolution in
space and one in time (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018, section 3). Those in
space become adaptive: channels at 1, 1/2 or 1/4, or the last frame's map again. First the dense network learns from the labels; then, from
its weights and with the same steps, rates and labels:

  adaptive        policies, cheap operations and weights; the loss adds the square of what MACs exceed the aim
  half width      all those layers at 1/2, the control at about equal MACs
  dense           all those layers at 1: what more training alone would bring
  random policy   the adaptive weights; choices drawn as often as the policies took them, whatever is seen

Accuracy: percent of clips, 95 % intervals by bootstrap over the persons. MACs: share of the dense network's, policies included.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tables import ResultTable, add_write_option
from torch import Tensor, nn

from skipvid.evaluate.bootstrap import blocks_of, bootstrap
from skipvid.nn import (
    AdaptiveConv2d,
    FixedPolicy,
    LearnedPolicy,
    Policy,
    RandomPolicy,
    adaptive_layers,
    convert_adaptive,
    macs,
    sparsity_loss,
)
from skipvid.train.adaptive_net import layer_choices

sys.path.insert(0, str(Path(__file__).parents[1]))

FRAMES, SIZE, FPS = 8, 64, 5
TRAIN_SEEDS, TEST_SEEDS = range(1000, 1030), range(2000, 2020)
AIM = 0.75
"""Share of the network's MACs, about that of half the channels."""
WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """(2+1)D: in space, then in time. x: (N, T, C, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm3d(outputs), nn.BatchNorm3d(outputs)
        self.time = nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        own = isinstance(self.space, AdaptiveConv2d)  # takes clips as they are
        y = self.space(x) if own else self.space(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        y = self.norm1(y.transpose(1, 2)).relu()
        y = self.norm2(self.time(y)).relu()
        return y.transpose(1, 2)


class ActionNet(nn.Module):
    """x: (N, T, 3, H, W) -> logits (N, exercises)."""

    def __init__(self, exercises: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(Block(before, after) for before, after in zip((8, *WIDTHS), WIDTHS, strict=False)))
        self.head = nn.Linear(WIDTHS[-1], exercises)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x.flatten(0, 1)).relu().unflatten(0, x.shape[:2])
        logits: Tensor = self.head(self.blocks(y).mean((1, 3, 4)))
        return logits


def fixed_macs() -> int:
    """Of a clip, what is not adaptive: the stem, the convolutions in time, the head."""
    side = SIZE // 2
    total = 3 * 8 * 9 * side * side * FRAMES
    for width in WIDTHS:
        side //= 2
        total += 3 * width * width * side * side * FRAMES
    return total + WIDTHS[-1] * 6


def clips(work: Path, name: str, seeds: range) -> tuple[Tensor, Tensor, list[str]]:
    """Rendered clips (K, T, 3, H, W), their exercises (K,), and the person of each; kept in `work`."""
    from tools.render_samples import exercise
    from tools.render_samples.scene import QUALITIES

    path = work / f"{name}.npz"
    names = list(exercise.EXERCISES)
    if not path.exists():
        images: list[NDArray[np.uint8]] = []
        for seed in seeds:
            for each in names:
                scene = exercise.build(seed, SIZE, SIZE, FRAMES / FPS, each)
                images.append(np.stack([image for image, _ in scene.frames(FRAMES, FPS, QUALITIES["fast"])]))
        work.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=np.stack(images))
    x = torch.from_numpy(np.load(path)["images"]).permute(0, 1, 4, 2, 3).float() / 255
    labels = torch.arange(len(names)).repeat(len(seeds))
    return (x - 0.45) / 0.22, labels, [str(seed) for seed in seeds for _ in names]


def share_of(net: nn.Module) -> Tensor:
    """The share of a whole clip's MACs that the last forward is expected to spend."""
    total = macs(net).total
    adaptive = total.dense_macs * FRAMES
    return (fixed_macs() + sparsity_loss(net) * adaptive) / (fixed_macs() + adaptive)


def learn(net: nn.Module, x: Tensor, labels: Tensor, epochs: int, rate: float) -> None:
    """Labels; and where layers are adaptive, the square of what the MACs exceed AIM by, once half of the epochs have raised its weight."""
    optimiser = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for epoch in range(epochs):
        net.train()
        for rows in torch.randperm(len(x)).split(18):
            batch = x[rows]
            if torch.rand(()) < 0.5:
                batch = batch.flip(4)
            batch = batch * (0.8 + 0.4 * torch.rand(len(rows), 1, 1, 1, 1)) + 0.2 * torch.randn(len(rows), 1, 1, 1, 1)
            loss = nn.functional.cross_entropy(net(batch), labels[rows])
            if adaptive_layers(net):
                loss = loss + 20 * min(1.0, 2 * epoch / epochs) * (share_of(net) / AIM - 1).clamp(min=0).square()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()


def adapted(net: nn.Module, policy: Callable[[nn.Conv2d], Policy]) -> nn.Module:
    made, _ = convert_adaptive(net, lambda path, _: path.startswith("blocks"), policy)
    return made


@torch.no_grad()
def measure(net: nn.Module, x: Tensor, labels: Tensor) -> tuple[NDArray[np.float64], float, dict[str, Tensor]]:
    """Whether each clip was told right; the share of MACs; how often each layer took each choice."""
    net.eval()
    right, spent, dense = [], 0.0, 0.0
    counts: dict[str, Tensor] = {}
    for rows in torch.arange(len(x)).split(20):
        right.append((net(x[rows]).argmax(1) == labels[rows]).double())
        rest = fixed_macs() * len(rows)
        total = macs(net).total
        spent += rest + float((total.macs + total.gate_macs).sum())
        dense += rest + total.dense_macs * FRAMES * len(rows)
        for path, layer in adaptive_layers(net):
            counts[path] = counts.get(path, 0) + layer_choices(layer).bincount(minlength=len(layer.ratios) + layer.reuse).double()
    return torch.cat(right).numpy(), spent / dense, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where rendered clips and weights are kept")
    parser.add_argument("--epochs", type=int, default=24, help="of the dense network; half as many for what begins with its weights")
    parser.add_argument("--persons", type=int, default=30, help="to learn from, at most 30")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, labels, _ = clips(options.work, f"learned-{options.persons}", TRAIN_SEEDS[: options.persons])
    seen, truth, persons = clips(options.work, "measured", TEST_SEEDS)
    dense = ActionNet(int(labels.max()) + 1)
    start = options.work / f"dense-{options.epochs}-{options.persons}.pt"
    if start.exists():
        dense.load_state_dict(torch.load(start, weights_only=True))
    else:
        learn(dense, x, labels, options.epochs, 3e-3)
        torch.save(dense.state_dict(), start)
    nets = {"dense": adapted(dense, lambda _: FixedPolicy())}
    nets["adaptive"] = adapted(dense, lambda _: LearnedPolicy())
    nets["half width"] = adapted(dense, lambda _: FixedPolicy(1))
    blocks = blocks_of(persons, 0)
    table = ResultTable("adaptive-actions", ["network", "accuracy (95 %)", "below dense", "MACs", "choices"], options.write)
    with table:
        wanted: NDArray[np.float64] | None = None
        for name, net in nets.items():
            torch.manual_seed(1)
            learn(net, x, labels, options.epochs // 2, 1e-3)
            right, share, counts = measure(net, seen, truth)
            wanted = right if wanted is None else wanted
            row(table, name, right, wanted, share, counts, blocks)
            if name == "adaptive":
                random = copy.deepcopy(net)
                for path, layer in adaptive_layers(random):
                    layer.set_policy(RandomPolicy((counts[path] / counts[path].sum()).tolist()))
                    layer.rules = replace(layer.rules, hysteresis=0.0)
                right, share, counts = measure(random, seen, truth)
                row(table, "random policy", right, wanted, share, counts, blocks)


def row(
    table: ResultTable,
    name: str,
    right: NDArray[np.float64],
    dense: NDArray[np.float64],
    share: float,
    counts: dict[str, Tensor],
    blocks: list[NDArray[np.int64]],
) -> None:
    own = bootstrap(lambda times: float(100 * (right @ times) / times.sum()), blocks)
    lost = bootstrap(lambda times: float(100 * ((dense - right) @ times) / times.sum()), blocks)
    taken = torch.stack(list(counts.values())).sum(0)
    kinds = ", ".join(
        f"{part:.0%} {kind}" for part, kind in zip((taken / taken.sum()).tolist(), ("1", "1/2", "1/4", "reused"), strict=True)
    )
    table.row(
        name,
        f"{own.value:.1f} ({own.low:.1f} … {own.high:.1f})",
        f"{lost.value:.1f} ({lost.low:.1f} … {lost.high:.1f})",
        f"{share:.0%}",
        kinds,
    )


if __name__ == "__main__":
    main()
