"""Records what goes into the sessions of a network, to run the very same streams again with other gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import SkipModel
from skipvid.skip.backend import Output
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Input, as_tensors
from skipvid.skip.session import Session

Recording = list[tuple[Tensor, ...]]
"""The inputs of one session from a keyframe to the next."""


class Recorder(SkipModel):
    """The same network; what its sessions are given is kept, `left` more inputs of it."""

    def __init__(self, model: SkipModel) -> None:
        # Keyframes cut what is recorded into pieces: none for the sake of speed.
        super().__init__(model.source, replace(model.config, dense_above=1.0))
        self.recordings: list[Recording] = []
        self.left = 0

    @property
    def recorded(self) -> int:
        """Inputs kept so far."""
        return sum(len(recording) for recording in self.recordings)

    def session(self) -> Session:
        return _RecordingSession(self)


class _RecordingSession(Session):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder
        self._recording: Recording = []

    def _run_frame(self, inputs: Sequence[Input]) -> tuple[Output, ...]:
        result = super()._run_frame(inputs)
        if self._recorder.left > 0:
            if self.keyframe or not self._recording:
                self._recording = []
                self._recorder.recordings.append(self._recording)
            self._recording.append(tuple(item.clone() for item in as_tensors(inputs)))
            self._recorder.left -= 1
        return result


@dataclass(frozen=True, slots=True)
class Replay:
    """saving: fraction of the MACs not spent, keyframes included. error: root of the outputs' mean squared error relative to dense."""

    saving: float
    error: float


def replay(model: SkipModel, recordings: Sequence[Recording], configs: Sequence[SkipConfig]) -> list[Replay]:
    """Run what was recorded with other gates, all of them beside each other, and measure the outputs against the dense network's."""
    gated = [model.regated(config) for config in configs]
    macs, dense, squares, frames = [0] * len(configs), [0] * len(configs), [0.0] * len(configs), 0
    for recording in recordings:
        sessions = [network.session() for network in gated]
        for inputs in recording:
            wanted = _tensors(model.dense(*inputs))
            frames += 1
            for number, session in enumerate(sessions):
                found = _tensors(session(*inputs))
                cost = session.cost
                macs[number] += cost.macs
                dense[number] += cost.dense_macs
                squares[number] += sum(map(_relative_square, found, wanted)) / len(wanted)
    return [Replay(1 - m / max(d, 1), (s / max(frames, 1)) ** 0.5) for m, d, s in zip(macs, dense, squares, strict=True)]


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _relative_square(found: Tensor, wanted: Tensor) -> float:
    size = float(wanted.square().sum())
    return float((found - wanted).square().sum()) / size if size else 0.0
