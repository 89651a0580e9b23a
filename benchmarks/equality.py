"""Does a gated network compute what it says? Equality at threshold 0 and the bound at a higher one, on real networks and real frames.

    python benchmarks/equality.py --data DIR [--frames 300] [--threshold 0.05] [--network NAME]...

DIR holds `sequences/` and `weights/`. For each network, over the frames of a real clip at the network's input size:

* threshold 0: the largest difference of any output to the original PyTorch network, absolute and relative to the largest output value
  of its frame, and in how many frames all outputs had the same bits as the same back end running densely;
* the higher threshold, on the reference back end: how much of the promised bound tau * s the worst pixel of the worst gated map used
  (1 is all of it; each map is computed anew from its published inputs after every frame), and the MACs saved at that.

Two of the networks are not ours: PP-TinyPose, a small PyTorch module, and FastestDet, a program exported elsewhere.
Exits with 1 where a difference is above 1e-4 or the bound is exceeded.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tables import ResultTable, add_write_option
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from skipvid.models import build_model
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import BACKENDS, SkipConfig
from skipvid.skip.reference.executor import ReferenceProgram, ReferenceState
from skipvid.skip.reference.operations import evaluate
from skipvid.video.sources.open import open_source

CLIP = "sequences/pets09_s2l1/vtest_480x360.avi"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Subject:
    """A network under test. load: from the data folder. size: (height, width) of its input. prepare: (H, W, 3) uint8 BGR -> (3, H, W)."""

    load: Callable[[Path], nn.Module]
    size: tuple[int, int]
    prepare: Callable[[np.ndarray], np.ndarray]


def imagenet(image: np.ndarray) -> np.ndarray:
    rgb = image[:, :, ::-1] / 255
    return ((rgb - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)


def unit(image: np.ndarray) -> np.ndarray:
    return (image / 255).transpose(2, 0, 1)


def load_tinypose(data: Path) -> nn.Module:
    folder = data / "weights" / "tinypose_torch"
    spec = importlib.util.spec_from_file_location("ncnn_torch", folder / "ncnn_torch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the module, which is not ours, leaves its files to the garbage collector
        net: nn.Module = module.NcnnNet(folder / "tinypose_256x192.param", folder / "tinypose_256x192.bin")
    return net.eval()


def load_fastestdet(data: Path) -> nn.Module:
    return torch.export.load(data / "weights" / "fastestdet" / "fastestdet_352.pt2").module()


def load_random_d0(data: Path) -> nn.Module:
    torch.manual_seed(0)
    return build_model("tf_efficientdet_d0", image_size=(512, 512)).requires_grad_(False)


SUBJECTS: Mapping[str, Subject] = {
    "PP-TinyPose": Subject(load_tinypose, (256, 192), imagenet),
    "FastestDet": Subject(load_fastestdet, (352, 352), unit),
    "EfficientDet-D0, random weights": Subject(load_random_d0, (512, 512), imagenet),
}


def inputs(data: Path, subject: Subject, count: int) -> Iterator[Tensor]:
    """The first frames of the clip, stretched to the network's input: (1, 3, H, W) float32."""
    height, width = subject.size
    with open_source(str(data / CLIP)) as source:
        for frame in itertools.islice(source, count):
            image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_LINEAR)
            yield torch.from_numpy(np.ascontiguousarray(subject.prepare(image), np.float32))[None]


@dataclass
class Equality:
    """Of a session at threshold 0, summed up over frames. same_bits: frames whose outputs are those of the dense run, bit for bit."""

    frames: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    same_bits: int = 0
    macs: int = 0
    dense_macs: int = 0


@torch.no_grad()
def measure_equality(net: nn.Module, model: SkipModel, frames: Iterator[Tensor]) -> Equality:
    """Run a session with threshold 0 beside the original network and beside the dense run on the same back end."""
    found, session = Equality(), model.session()
    for frame in frames:
        got, dense, original = (tree_leaves(run(frame)) for run in (session, model.dense, net))
        for a, b in zip(got, original, strict=True):
            distance = float((a - b).abs().max())
            found.absolute = max(found.absolute, distance)
            found.relative = max(found.relative, distance / float(b.abs().max()))
        found.frames += 1
        found.same_bits += all(torch.equal(a, b) for a, b in zip(got, dense, strict=True))
        found.macs += session.cost.macs
        found.dense_macs += session.cost.dense_macs
    return found


@dataclass
class Bound:
    """usage: the largest part of tau * s that any pixel of any gated map was off by, at `map`."""

    usage: float = 0.0
    map: str = ""
    gates: int = 0
    macs: int = 0
    dense_macs: int = 0


@torch.no_grad()
def measure_bound(model: SkipModel, frames: Iterator[Tensor]) -> Bound:
    """Compute each gated map anew from what its readers see of its inputs, after every frame, and compare it with what is published."""
    session, found = model.session(), Bound()
    for frame in frames:
        session(frame)
        program, state = session._program, session._state
        assert isinstance(program, ReferenceProgram) and isinstance(state, ReferenceState)
        found.gates = len(program.plan.gates)
        found.macs += session.cost.macs
        found.dense_macs += session.cost.dense_macs
        for node in program.plan.graph:
            gate = program.plan.gates.get(node.name)
            if gate is None:
                continue
            exact = frame if node.op == "input" else evaluate(node, state.values)
            distance = (exact - state.values[node.name]).abs()
            worst = float((distance.mean(1) if node.is_map else distance.mean()).max())
            usage = worst / (gate.threshold * state.scales[node.name]) if worst else 0.0
            if usage > found.usage:
                found.usage, found.map = usage, node.layer or node.name
    return found


def main() -> None:
    """Print a row per network as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--threshold", type=float, default=0.05)
    parser.add_argument("--network", action="append", choices=list(SUBJECTS))
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS))
    parser.add_argument("--threads", type=int)
    add_write_option(parser)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    note = f"{CLIP} at each network's input, back end {options.backend}."
    columns = ("network", "frames", "max abs diff", "max rel diff", "same bits as dense", "saved at 0")
    columns += (f"bound used at {options.threshold:g}", "by", "saved")
    with ResultTable("equality", columns, options.write, note) as table:
        failed = _measure_all(options, table)
    raise SystemExit(1 if failed else 0)


def _measure_all(options: argparse.Namespace, table: ResultTable) -> bool:
    """A row for each network. Returns whether one of them broke a promise."""
    failed = False
    for name in options.network or SUBJECTS:
        subject = SUBJECTS[name]
        net = subject.load(options.data)
        model, _ = convert(net, torch.zeros(1, 3, *subject.size), SkipConfig(threshold=0, backend=options.backend))
        equal = measure_equality(net, model, inputs(options.data, subject, options.frames))
        gated = model.regated(SkipConfig(threshold=options.threshold, backend="reference"))
        bound = measure_bound(gated, inputs(options.data, subject, options.frames))
        failed |= equal.relative > 1e-4 or equal.same_bits < equal.frames or bound.usage > 1 + 1e-4
        cells = (name, equal.frames, f"{equal.absolute:.2e}", f"{equal.relative:.2e}", f"{equal.same_bits} of {equal.frames}")
        cells += (f"{1 - equal.macs / equal.dense_macs:.1%}", f"{bound.usage:.5f} of {bound.gates} maps", bound.map)
        table.row(*cells, f"{1 - bound.macs / bound.dense_macs:.1%}")
    return failed


if __name__ == "__main__":
    main()
