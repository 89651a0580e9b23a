"""What the networks of this project, like most, are trained with: RGB, normalised with ImageNet's statistics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of RGB from 0 to 1."""


def normalise(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float32, normalised RGB, channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor([number * 255 for number in numbers]).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (x - mean) / std
