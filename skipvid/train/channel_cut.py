"""Networks with fewer channels inside their blocks, from a closed form: what is left out is made up for where the channels are read.

Pan et al., "VA-RED²" (ICLR 2021), section 3, make the channels that are not computed from those that are, by linear operations that are
cheap because each sees one channel. Inside a block a single layer reads the channels, and that one is linear, too: a linear operation on
all computed channels can be taken into its weights, and costs nothing. So these weights are solved for by least squares, on the maps of a
few frames (He, Zhang, Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017), and the channels to leave out are
those that this loses least by, one after the other (Hassibi and Stork, "Optimal Brain Surgeon", NIPS 1992, for whole channels).
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.models.narrow import shrink
from skipvid.train.adaptive_order import Chain, inner_chains

SAMPLES = 6000
"""Positions of a map that a layer is fitted to, over all frames."""

RIDGE = 0.01
"""How strongly weights are held to what they were, over the mean square of what they multiply."""

UNIT = 8
"""Channels are left in multiples of this, which the kernels compute together."""


@torch.no_grad()
def cut_network(dense: nn.Module, ratio: float, examples: Sequence[Tensor]) -> nn.Module:
    """A copy of a network with `ratio` of the channels inside its blocks. examples: batches (K, 3, h, w), to fit it to.

    Blocks are cut in their order, each fitted to give, from the maps of the narrower network, what it gives in the full one. Raises
    UsageError where the network has no such blocks.
    """
    net = copy.deepcopy(dense).eval()
    found = list(inner_chains(net))
    if not found:
        raise UsageError("this network has no blocks whose channels can be cut", "choose an EfficientDet or an HRNet")
    wanted = _watch(dense, {chain.reader for chain in found}, examples, lambda module, inputs, output: output.flatten(2))
    for chain in found:
        reader = net.get_submodule(chain.reader)
        assert isinstance(reader, nn.Conv2d)
        width = width_of(reader.in_channels, ratio)
        if width < reader.in_channels:
            seen = _watch(net, {chain.reader}, examples, _patches)
            _cut(net, chain, reader, width, seen[chain.reader], wanted[chain.reader])
    return net


def width_of(channels: int, ratio: float) -> int:
    """How many channels are left."""
    return min(channels, max(UNIT, math.ceil(channels * ratio / UNIT) * UNIT))


def _watch(
    net: nn.Module, paths: set[str], examples: Sequence[Tensor], read: Callable[[nn.Conv2d, Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Of some layers what `read` makes of a call, (N, F, P), at the same positions for every network: (F, S) by path."""
    found: defaultdict[str, list[Tensor]] = defaultdict(list)
    most = SAMPLES // len(examples)

    def hook(path: str) -> Callable[..., None]:
        def call(module: Any, inputs: Any, output: Tensor) -> None:
            values = read(module, inputs[0], output).transpose(0, 1).flatten(1)
            generator = torch.Generator().manual_seed(len(found[path]))
            found[path].append(values[:, torch.randperm(values.shape[1], generator=generator)[:most]].double())
            if last:
                raise _Enough

        return call

    # A block's layer is called once in a pass, and nothing behind it matters; a head's once for each level.
    last = len(paths) == 1 and ".conv_rep." not in min(paths) and ".predict." not in min(paths)
    hooks = [net.get_submodule(path).register_forward_hook(hook(path)) for path in paths]
    for batch in examples:
        with contextlib.suppress(_Enough):
            net(batch)
    for each in hooks:
        each.remove()
    return {path: torch.cat(values, 1) for path, values in found.items()}


class _Enough(Exception):
    """Ends a pass whose rest is not wanted."""


def _patches(reader: nn.Conv2d, x: Tensor, output: Tensor) -> Tensor:
    """What each output of a convolution is a weighted sum of: (N, C · k · k, P)."""
    if reader.kernel_size == (1, 1) and reader.stride == (1, 1):
        return x.flatten(2)
    size, padding = reader.kernel_size, reader.padding
    assert not isinstance(padding, str)
    return functional.unfold(x, size, reader.dilation, padding, reader.stride)


def _cut(net: nn.Module, chain: Chain, reader: nn.Conv2d, width: int, seen: Tensor, wanted: Tensor) -> None:
    """seen: (C · k · k, S), what the reader reads. wanted: (C', S), what it is to give."""
    taps = math.prod(reader.kernel_size)
    weight = reader.weight.flatten(1).double()
    old_bias = weight.new_zeros(len(weight)) if reader.bias is None else reader.bias.double()
    middle = seen.mean(1, keepdim=True)
    target = wanted.mean(1)
    x, y = seen - middle, wanted - target.view(-1, 1)
    gram = x @ x.t()
    hold = RIDGE * gram.diagonal().mean().clamp(min=1e-9)
    inverse = torch.linalg.inv(gram + hold * torch.eye(len(gram), dtype=gram.dtype))
    solved = (y @ x.t() + hold * weight) @ inverse
    kept = remove_groups(solved, inverse, _scale(net, chain, len(weight)), taps, width)
    rows = (kept.view(-1, 1) * taps + torch.arange(taps)).flatten()
    new = solved[:, rows]
    bias = target - new @ middle[rows, 0]
    state: dict[str, Tensor] = {}
    for path in (chain.writer, *chain.along):
        for name, value in net.get_submodule(path).state_dict().items():
            state[f"{path}.{name}"] = value[kept] if value.dim() else value
    state[f"{chain.reader}.weight"] = new.view(len(new), width, *reader.kernel_size).to(reader.weight.dtype)
    if reader.bias is not None:
        state[f"{chain.reader}.bias"] = bias.to(reader.bias.dtype)
    for path in chain.norms if reader.bias is None else ():
        mean = net.get_submodule(path).running_mean
        assert isinstance(mean, Tensor)
        state[f"{path}.running_mean"] = mean - (bias - old_bias).to(mean.dtype)
    shrink(net, state)
    net.load_state_dict(state, strict=False)


def remove_groups(solved: Tensor, inverse: Tensor, scale: Tensor, taps: int, width: int) -> Tensor:
    """Which channels to keep, (width,) int64, rising; what the others did is taken over by those, in place.

    solved: (C', C · taps), least-squares weights. inverse: (C · taps, C · taps), of the matrix that they were solved with. scale: (C',), of
    the outputs. Each channel that goes is the one by whose loss the scaled outputs get least worse, all other weights solved anew.
    """
    left = list(range(solved.shape[1] // taps))
    while len(left) > width:
        places = torch.tensor(left).view(-1, 1) * taps + torch.arange(taps)
        blocks = torch.linalg.inv(inverse[places.unsqueeze(2), places.unsqueeze(1)])  # (c, taps, taps)
        weights = (scale.view(-1, 1) * solved)[:, places]  # (C', c, taps)
        costs = torch.einsum("oct,ctu,ocu->c", weights, blocks, weights)
        least = int(costs.argmin())
        rows, block = places[least], blocks[least]
        solved -= solved[:, rows] @ block @ inverse[rows]
        inverse -= inverse[:, rows] @ block @ inverse[rows]
        del left[least]
    return torch.tensor(left)


def _scale(net: nn.Module, chain: Chain, outputs: int) -> Tensor:
    """What the outputs of the reader are multiplied with behind it, (C',); of several BatchNorms the mean."""
    scales = []
    for path in chain.norms:
        norm = net.get_submodule(path)
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None
        scales.append(norm.weight.double().abs() / (norm.running_var.double() + norm.eps).sqrt())
    return torch.stack(scales).mean(0) if scales else torch.ones(outputs, dtype=torch.float64)
