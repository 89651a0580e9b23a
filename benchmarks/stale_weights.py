"""A detector's weights trained to bear stale maps: its gates stay as they are, and clips are many.

    nice -n 15 python benchmarks/stale_weights.py --data DIR --folder FOLDER --steps 1200
    nice -n 15 python benchmarks/stale_weights.py --data DIR --folder FOLDER --steps 1200 --compare

Training: clips run through the network with its norm gates at 1 to 2 times the preset's thresholds, each clip with another factor; the
loss is the distance of the gated frames to what the network found densely before training, plus that of the first, dense frame. Half of
the clips are of videos without truth (never of the three sequences, and not of HELD), the others are made of labelled pictures: a picture
with parts of others that move across it. `--compare` measures: AP50 on the three sequences and agreement of HELD with the dense network of
before.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measured_clips import FAINTEST, Passes, detector, every_video, lost, measured, value_of, with_truth, without_truth
from numpy.typing import NDArray
from stale_clips import HELD, material_of, pasted_clip, video_clip
from tables import ResultTable, add_write_option, interval_text
from torch import Tensor, nn

from skipvid.evaluate.material import Material
from skipvid.presets.preset import Preset, load_preset, save_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.clips import Piece, relight
from skipvid.train.levels import NOISE, noisy
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.samples import Sample
from skipvid.train.ship import export_weights
from skipvid.train.streams import GatedStream
from skipvid.train.subjects import DetectSubject

FRAMES = (3, 5)
FACTORS = (1.0, 2.0)
"""On the preset's thresholds in training."""

LEVELS = (1.0, 1.41, 2.0)
PASTED = 0.5
"""Share of clips that are made of pictures."""

BLOCK = 25


class FixedGates(GatedStream):
    """Gates that learn nothing. factors: on the thresholds, for each clip, (N, 1, 1, 1)."""

    def __init__(self, net: nn.Module, example: Tensor, preset: Preset) -> None:
        super().__init__(net, example, preset.threshold, dict(preset.thresholds))
        self.fixed |= self.begun
        self.levels = nn.ParameterDict()
        self.factors = torch.ones(1, 1, 1, 1)

    def decide(self, name: str, change: Tensor) -> Tensor:
        return super().decide(name, change / self.factors)


class Training:
    """Batches and their loss."""

    def __init__(
        self, subject: DetectSubject, pieces: Sequence[Piece], samples: Sequence[Sample], size: int, batch: int, seed: int
    ) -> None:
        self._subject, self._pieces, self._samples = subject, pieces, samples
        self._size, self._batch, self._seed = size, batch, seed

    def draw(self, frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        pasted = rng.random() < PASTED
        images = pasted_clip(self._samples, frames, self._size, rng) if pasted else video_clip(self._pieces, frames, self._size, rng)
        if rng.integers(2):
            images = images[:, :, ::-1]
        tint = rng.uniform(0.9, 1.1, 3)  # of blue, green and red, all frames alike
        images = (images * tint).clip(0, 255).astype(np.uint8)
        return relight(images, rng)

    def loss(self, net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(net, FixedGates)
        rng = np.random.default_rng((self._seed, step))
        frames = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
        clean = torch.stack([self._subject.prepare(self.draw(frames, rng)) for _ in range(self._batch)])
        strengths = rng.uniform(-NOISE, NOISE, self._batch).clip(0)  # half of the clips as they are
        seeds = rng.integers(2**31, size=self._batch)
        seen = torch.stack(
            [noisy(*each[:2], torch.Generator().manual_seed(int(each[2]))) for each in zip(clean, strengths, seeds, strict=True)]
        )
        net.factors = torch.tensor(np.exp(rng.uniform(*np.log(FACTORS), self._batch)), dtype=torch.float32).view(-1, 1, 1, 1)
        with torch.no_grad():
            wanted = self._subject.teacher(clean.flatten(0, 1))
        streamed = net(seen)
        first = torch.arange(self._batch * frames) % frames == 0
        gated, dense = (self._subject.distance(_of(streamed.outputs, which), _of(wanted, which)) for which in (~first, first))
        shown = {"gated": float(gated.detach()), "dense": float(dense.detach()), "share": float(streamed.share.detach())}
        return gated + dense, shown


def _of(levels: Sequence[Sequence[Tensor]], which: Tensor) -> list[list[Tensor]]:
    """Some frames of a detector's outputs."""
    return [[level[which] for level in part] for part in levels]


def train(options: argparse.Namespace) -> None:
    preset = load_preset(options.preset)
    subject = DetectSubject(preset, resolve_weights(preset).path)
    pieces, samples = material_of(options.data, options.folder)
    student = FixedGates(subject.teacher, torch.zeros(1, 3, options.size, options.size), preset)
    training = Training(subject, pieces, samples, options.size, options.batch, options.seed)
    schedule = Schedule(options.steps, options.batch, options.rate, 0.05, 15, 0.0, average=0.97, checkpoint_every=25, seed=options.seed)
    Trainer(student, schedule, options.folder / "run", resume=options.resume).run(training.loss)


def trained(options: argparse.Namespace) -> Preset:
    """Of the averaged weights of the last checkpoint."""
    preset = load_preset(options.preset)
    subject = DetectSubject(preset, resolve_weights(preset).path)
    student = FixedGates(subject.teacher, torch.zeros(1, 3, options.size, options.size), preset)
    state = torch.load(options.folder / "run" / "checkpoint.pt", weights_only=True)
    student.load_state_dict(state["average"])
    print(f"step {state['step']}", flush=True)
    path = options.folder / "stale.pt"
    digest = export_weights(student.network().state_dict(), path, {"preset": preset.name, "steps": state["step"]})
    return load_preset(str(save_preset(replace(preset, name="stale", weights=path.name, sha256=digest), options.folder / "stale.yaml")))


def compare(options: argparse.Namespace) -> None:
    """Both networks at several levels; lost: points of AP50 to the dense network of before, of HELD agreement with it."""
    presets: Mapping[str, Preset] = {"bundled": load_preset(options.preset), "trained": trained(options)}
    passes = Passes(options.folder / "passes")
    with_labels = with_truth(options.data, options.frames)
    held = without_truth([spec for spec in every_video(options.data) if "/".join(Path(spec).parts[-2:]) in HELD], options.held_frames)
    columns = ["clip", "weights", "level", "AP50 or agreement", "lost to dense of before (95 %)", "fewer MACs"]
    note = f"{options.frames} frames of each sequence at most, {options.held_frames} of clips without truth."
    with ResultTable("stale-weights", columns, options.write, note) as table:
        for name, material in {**with_labels, **held}.items():
            engines = {key: _engine(preset, material) for key, preset in presets.items()}
            before = passes.dense(engines["bundled"], material)
            reference = measured(material, before, before)
            for key, engine in engines.items():
                for level in (0.0, *LEVELS):
                    seen = passes.gated(engine, material, level) if level else passes.dense(engine, material)
                    own = measured(material, seen, before)
                    cells = [f"{value_of(own):.1f}", interval_text(lost(own, reference, BLOCK), 1), f"{own.fewer:.2f}×" if level else ""]
                    table.row(name, key, f"{level:g}" if level else "dense", *cells)


def _engine(preset: Preset, material: Material) -> DetectEngine:
    """Average precision needs faint detections; agreement is that of what would be shown."""
    score = preset.score_threshold if material.labels is None else FAINTEST
    return detector(preset, SkipConfig.of(preset, threads=1), score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/, videos/ and images/")
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints, stored frames, weights, passes")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--rate", type=float, default=3e-5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=256, help="side of the windows, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compare", action="store_true", help="measure the last checkpoint")
    parser.add_argument("--frames", type=int, default=400, help="of each sequence at most")
    parser.add_argument("--held-frames", type=int, default=150)
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    compare(options) if options.compare else train(options)


if __name__ == "__main__":
    main()
