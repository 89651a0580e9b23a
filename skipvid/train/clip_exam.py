"""What the exams of students of skipvid.nn share: held-out clips, the dense network's outputs for them, and how both parts of a loss are
measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.nn import macs, run_clip
from skipvid.nn.cost import Cost
from skipvid.train.clips import Piece
from skipvid.train.subjects import Subject, frames_of


class ClipExam:
    """pieces: held out. clips: their frames as inputs, (T, 3, h, w) each."""

    def __init__(self, subject: Subject, pieces: Sequence[Piece]) -> None:
        self._subject = subject
        self.clips = subject.exam(pieces)
        with torch.no_grad():
            self._wanted = [subject.teacher(clip) for clip in self.clips]

    @torch.no_grad()
    def measured(self, net: nn.Module, spent: Callable[[Cost], Tensor]) -> tuple[float, float]:
        """Means over the clips, with the hard choices of inference: distance to the dense network, and share of its MACs.

        spent: of a clip's cost, the MACs of the frames that count, (1, T).
        """
        net.eval()
        distances, shares = [], []
        for clip, wanted in zip(self.clips, self._wanted, strict=True):
            outputs = frames_of(run_clip(net, clip.unsqueeze(0)))
            distances.append(float(self._subject.distance(outputs, wanted)))
            cost = macs(net).total
            counted = spent(cost)
            shares.append(float(counted.sum()) / (cost.dense_macs * counted.numel()))
        return float(np.mean(distances)), float(np.mean(shares))
