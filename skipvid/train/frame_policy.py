"""The policy that chooses a width for each frame, fitted to what each width is known to do on some frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skipvid.core.ratios import RatioPolicy

HIDDEN = 16
STEPS = 300
"""Of Adam, over all frames at once."""

DECAY = 1e-3
"""Of the weights: some hundred frames of a few scenes say little."""

SEARCH = 12
"""Prices that are tried for a saving, each between the last one that was too low and the last one that was high enough."""


def choose_policy(
    features: NDArray[np.float32], distances: NDArray[np.float32], shares: Sequence[float], beta: float, target_saving: float | None
) -> RatioPolicy:
    """features: (n, F), what the policy sees of each frame. distances: (n, K), of each width to the full network. shares: of its MACs.

    The mean of distance + price × share is made small: at the price beta; or, where a saving is asked for, at the lowest one found at which
    the frames save as much. Where no price does, the narrowest width is always taken.
    """
    if target_saving is None:
        return fit_policy(features, distances, shares, beta)
    # From here on the dearest frame is worth the narrowest width.
    low, high = 0.0, 2 * float(np.max(distances)) / max(1 - min(shares), 1e-6) + 1e-6
    best = fit_policy(features, distances, shares, high)
    for _ in range(SEARCH):
        price = (low + high) / 2 if low else high / 8
        found = fit_policy(features, distances, shares, price)
        taken = [int(found.logits(row).argmax()) for row in features]
        if 1 - float(np.mean([shares[number] for number in taken])) >= target_saving:
            best, high = found, price
        else:
            low = price
    return best


def fit_policy(features: NDArray[np.float32], distances: NDArray[np.float32], shares: Sequence[float], price: float) -> RatioPolicy:
    """Two linear layers whose probabilities make the expected distance + price × share small; in units of its spread over the widths, so
    that steps are as long for every network."""
    losses = torch.from_numpy(distances).double() + price * torch.tensor(list(shares), dtype=torch.float64)
    losses = losses / losses.std(1).mean().clamp(min=1e-12)
    seen = torch.from_numpy(features).double()
    mean, spread = seen.mean(0), seen.std(0, correction=0).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(0)
    inner, outer = nn.Linear(seen.shape[1], HIDDEN).double(), nn.Linear(HIDDEN, len(shares)).double()
    with torch.no_grad():
        inner.weight.copy_(torch.randn(inner.weight.shape, generator=generator, dtype=torch.float64) / seen.shape[1] ** 0.5)
        inner.bias.copy_(0.1 * torch.randn(HIDDEN, generator=generator, dtype=torch.float64))
        outer.weight.zero_()
        outer.bias.zero_()
    optimizer = torch.optim.AdamW([*inner.parameters(), *outer.parameters()], lr=0.03, weight_decay=DECAY)
    x = (seen - mean) / spread
    for _ in range(STEPS):
        chances = outer(inner(x).relu()).softmax(1)
        optimizer.zero_grad()
        (chances * losses).sum(1).mean().backward()
        optimizer.step()
    with torch.no_grad():
        weight = inner.weight / spread
        bias = inner.bias - weight @ mean
        parts = (weight, bias, outer.weight, outer.bias)
        return RatioPolicy(*(each.float().numpy().copy() for each in parts))
