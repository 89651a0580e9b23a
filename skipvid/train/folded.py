"""The weights of a network's convolutions, to be trained in its folded graph and put back into it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skipvid.skip.ir.graph import Graph


def parameter_key(path: str) -> str:
    """Of a ParameterDict, which takes no dots."""
    return path.replace(".", "/")


def folding_factors(folded: Tensor, weight: Tensor) -> Tensor:
    """What folding has multiplied each output's weights with, (O, 1, 1, 1)."""
    weight = weight.detach()
    return ((folded * weight).sum((1, 2, 3)) / weight.square().sum((1, 2, 3)).clamp_min(1e-30)).view(-1, 1, 1, 1)


def trainable_kernels(net: nn.Module, graph: Graph) -> dict[str, Tensor]:
    """Weights of a network's convolutions by path; those that folding did more to than to scale each output are left out."""
    found: dict[str, Tensor] = {}
    for node in graph:
        weight = net.get_parameter(f"{node.layer}.weight") if node.op == "conv" and node.layer else None
        folded = node.consts.get("weight")
        if weight is None or folded is None or weight.shape != folded.shape:
            continue
        if torch.allclose(weight.detach() * folding_factors(folded, weight), folded, rtol=1e-4, atol=1e-6):
            found[node.layer] = weight
    return found
