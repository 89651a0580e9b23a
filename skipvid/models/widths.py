"""Networks that a file of weights holds at several widths: the full one, and beside it what each narrower one adds and goes without."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skipvid.core.errors import SkipvidError, WeightsError
from skipvid.core.ratios import NARROWER, Narrower, RatioPolicy
from skipvid.models.narrow import CHEAP, shrink

PARTS = {"ratios": list, "adds": list, "without": list, "policy": Mapping}
"""What a file says of narrower networks, see skipvid.train.widths.narrower."""


def load_widths(
    net: nn.Module,
    state: Mapping[str, Tensor],
    content: Any,
    origin: str,
    load: Callable[[nn.Module, Mapping[str, Tensor], str], None],
) -> None:
    """Give a network, which is loaded already, its narrower forms: `net.narrower`, a skipvid.core.ratios.Narrower.

    state: its own. content: what the file says beside it. load: puts a state into a network. Raises WeightsError.
    """
    try:
        if not all(isinstance(content[name], kind) for name, kind in PARTS.items()):
            raise TypeError("its parts are of other types")
        nets, renamed = [], []
        for adds, without in zip(content["adds"], content["without"], strict=True):
            narrow = copy.deepcopy(net)
            left_out = set(without)
            shrink(narrow, adds)
            load(narrow, {key: value for key, value in state.items() if key not in left_out} | dict(adds), origin)
            nets.append(narrow.eval().requires_grad_(False))
            with torch.no_grad():  # each part may have the shape that it says, and not what the next one reads
                narrow(torch.zeros(1, 3, 64, 64))
            paths = [key.removesuffix(CHEAP) for key in adds if key.endswith(CHEAP)]
            renamed.append({f"{path}.{part}": path for path in paths for part in ("conv", "cheap")})
        weights = {name: content["policy"][name].float().numpy() for name in RatioPolicy.__slots__}
        made = Narrower(tuple(map(float, content["ratios"])), tuple(nets), tuple(renamed), RatioPolicy(**weights))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SkipvidError) as error:
        raise WeightsError(f"{origin} does not hold the network at other widths as it should: {error}", "train it again") from error
    setattr(net, NARROWER, made)
