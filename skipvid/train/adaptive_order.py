"""Putting channels in an order in which those that resemble each other are partners, without changing what a network computes.

An adaptive layer computes its first channels and makes the others of those, each of the one that its number says. Which channel has which
number is arbitrary where one layer writes a map and another reads it: both can be renumbered alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from skipvid.models.networks.efficientdet import EfficientDet
from skipvid.models.networks.efficientnet import EfficientNet, InvertedResidual
from skipvid.models.networks.hrnet import BasicBlock


@dataclass(frozen=True, slots=True)
class Chain:
    """Paths of layers: one that writes channels, those that keep each channel by itself, and the only one that then reads them all.

    norms: BatchNorms that follow the reader and nothing else.
    """

    writer: str
    along: tuple[str, ...]
    reader: str
    norms: tuple[str, ...] = ()


def chains(net: nn.Module) -> Iterator[Chain]:
    """Those of our networks: within a block, from block to block where nobody else reads, and within a detector's heads."""
    yield from inner_chains(net)
    for path, module in net.named_modules():
        if isinstance(module, EfficientNet):
            yield from _between_blocks(module, path)


def inner_chains(net: nn.Module) -> Iterator[Chain]:
    """Those within a block and within a detector's heads, in the order in which the network computes them."""
    for path, module in net.named_modules():
        if isinstance(module, InvertedResidual) and isinstance(module.se, nn.Identity):
            yield Chain(f"{path}.conv_pw", (f"{path}.bn1", f"{path}.conv_dw", f"{path}.bn2"), f"{path}.conv_pwl", (f"{path}.bn3",))
        elif isinstance(module, BasicBlock):
            yield Chain(f"{path}.conv1", (f"{path}.bn1",), f"{path}.conv2", (f"{path}.bn2",))
    for path, module in net.named_modules():
        if isinstance(module, EfficientDet):
            for head in ("class_net", "box_net"):
                yield from _in_head(module, f"{path}." if path else "", head)


def _between_blocks(backbone: EfficientNet, path: str) -> Iterator[Chain]:
    blocks = []
    for stage, part in enumerate(backbone.blocks):
        assert isinstance(part, nn.Sequential)
        for number, block in enumerate(part):
            tapped = stage in backbone.taps and number == len(part) - 1
            blocks.append((f"{path}.blocks.{stage}.{number}".removeprefix("."), block, tapped))
    for (before, first, tapped), (after, second, _) in pairwise(blocks):
        if not isinstance(first, InvertedResidual) or not isinstance(second, InvertedResidual):
            continue
        if not tapped and not first.residual and not second.residual:
            yield Chain(f"{before}.conv_pwl", (f"{before}.bn3",), f"{after}.conv_pw")


def _in_head(net: EfficientDet, path: str, head: str) -> Iterator[Chain]:
    module: Any = getattr(net, head)
    names = [*(f"{path}{head}.conv_rep.{number}" for number in range(len(module.conv_rep))), f"{path}{head}.predict"]
    norms = [tuple(f"{path}{head}.bn_rep.{number}.{level}.bn" for level in range(len(row))) for number, row in enumerate(module.bn_rep)]
    for (before, after), own, behind in zip(pairwise(names), norms, [*norms[1:], ()], strict=True):
        yield Chain(f"{before}.conv_pw", (*own, f"{after}.conv_dw"), f"{after}.conv_pw", behind)


@torch.no_grad()
def pair_channels(net: nn.Module, paths: Collection[str], example: Tensor) -> list[str]:
    """Renumber what some layers write, in place, where that is possible; returns their paths. example: (K, 3, h, w).

    Partners at one half are the pairs whose maps correlate most, taken greedily; partners at one quarter the pairs of such pairs.
    """
    modules = dict(net.named_modules())
    found = [chain for chain in chains(net) if chain.writer in paths and _outputs(modules[chain.writer]) % 4 == 0]
    maps: defaultdict[str, list[Tensor]] = defaultdict(list)

    def watch(path: str) -> Callable[..., None]:
        return lambda module, inputs, output: maps[path].append(output.transpose(0, 1).flatten(1))

    hooks = [modules[chain.writer].register_forward_hook(watch(chain.writer)) for chain in found]
    net(example)
    for hook in hooks:
        hook.remove()
    for chain in found:
        renumber(net, chain, paired_order(torch.cat(maps[chain.writer], 1)))
    return [chain.writer for chain in found]


def paired_order(values: Tensor) -> Tensor:
    """The order of channels, (C,) int64. values: (C, S), C a multiple of 4, what each channel was at S places.

    In it, channels i and i + C / 2 are partners at one half; i, i + C / 4, i + C / 2 and i + 3 C / 4 at one quarter.
    """
    alike = torch.corrcoef(values.double()).abs().nan_to_num(0)
    pairs = _match(alike)
    # Of a pair the one that tells more of the other channels is computed.
    told = alike.sum(1)
    pairs = torch.where((told[pairs[:, 0]] >= told[pairs[:, 1]]).view(-1, 1), pairs, pairs.flip(1))
    kept = pairs[:, 0]
    quarters = _match(alike[kept][:, kept])
    return pairs[quarters.t().flatten()].t().flatten()


def _match(alike: Tensor) -> Tensor:
    """Pairs (C / 2, 2) of the rows of a symmetric matrix: the two most alike first, then of the rest."""
    left = alike.clone().fill_diagonal_(-1)
    pairs = []
    for _ in range(len(alike) // 2):
        first, second = divmod(int(left.argmax()), len(alike))
        pairs.append((first, second))
        left[[first, second]] = -1
        left[:, [first, second]] = -1
    return torch.tensor(pairs)


def renumber(net: nn.Module, chain: Chain, order: Tensor) -> None:
    """Let channel order[i] be channel i from the writer of a chain to its reader, in place; the network computes what it did."""
    for path in (chain.writer, *chain.along):
        module = net.get_submodule(path)
        for name, value in module.state_dict(keep_vars=True).items():
            if value.dim() > 0:  # not the count of batches
                value.data = value.data[order]
            assert name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    reader = net.get_submodule(chain.reader)
    assert isinstance(reader, nn.Conv2d)
    reader.weight.data = reader.weight.data[:, order]


def _outputs(module: nn.Module) -> int:
    assert isinstance(module, nn.Conv2d)
    return module.out_channels
