"""BatchNorm statistics of a finished network, measured anew on pictures of the size that it will be used at.

The running averages of training describe training crops under weights that were still moving. On the coarsest pyramid levels, where a crop
has a handful of cells and most of them lie at its border, they do not fit whole pictures at all: boxes as large as the picture come up
everywhere. (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021, sections 3 and 5.)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def settle_norms(net: nn.Module, batches: Iterable[Tensor], keep: tuple[str, ...] = ()) -> None:
    """Replace the running statistics by their plain average over batches (N, 3, H, W) of normalised RGB, all of one size.

    keep: prefixes of parts whose statistics stay. Nothing else changes; the network is left in eval mode.
    """
    norms = [module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d) and not f"{name}.".startswith(keep)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
        norm.train()
    for batch in batches:
        net(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def keep_statistics(net: nn.Module) -> None:
    """Leave the running statistics of a network in training as they are: clips of one scene say little about them."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
