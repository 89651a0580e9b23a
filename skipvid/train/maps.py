"""What layers inside a network return, for losses on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Maps:
    """What some layers of a network return while it is entered, by path, in the order of their calls."""

    def __init__(self, net: nn.Module, paths: Sequence[str]) -> None:
        self._net, self._paths = net, paths
        self.found: dict[str, list[Tensor]] = {path: [] for path in paths}

    def __enter__(self) -> Maps:
        def watch(path: str) -> Callable[..., None]:
            return lambda module, inputs, output: self.found[path].append(output)

        self._hooks = [self._net.get_submodule(path).register_forward_hook(watch(path)) for path in self._paths]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def distance(self, wanted: Maps) -> Tensor:
        """Mean over layers of the squared error over the squared sum of what was wanted."""
        terms = []
        for path, maps in self.found.items():
            off = sum((mine - theirs).square().sum() for mine, theirs in zip(maps, wanted.found[path], strict=True))
            terms.append(off / sum(theirs.square().sum() for theirs in wanted.found[path]).clamp(min=1e-9))  # type: ignore[union-attr]
        return torch.stack(terms).mean()
