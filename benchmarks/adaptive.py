"""Adaptive channels against what else saves as many MACs, on clips that nothing was learned on.

    nice -n 19 python benchmarks/adaptive.py train detect --data DIR --work FOLDER
    nice -n 19 python benchmarks/adaptive.py measure detect --data DIR --work FOLDER --write
    python benchmarks/adaptive.py alike detect --data DIR --work FOLDER --write
    python benchmarks/adaptive.py time detect --data DIR --work FOLDER --write

"alike" and "time" need no training. "time": what half of the channels in all those layers save on the engine's own back end, by turns with
the dense network. "alike": how much of a rebuilt channel's variance its best depthwise 3 x 3 leaves unexplained, on clips that it was not
fitted to, with the channels as they are numbered and renumbered (skipvid.train.adaptive_order); medians over layers.

One training of each subject (`skipvid train adaptive` without labels, on clips and on labelled pictures whose labels it does not see): the
network with 3/4 and 1/2 of the channels inside its blocks, in a closed form and then taught by the full network, and a policy that chooses
one of the three widths for each frame. What is measured, all of it on the engine's native back end:

  dense           the network as it was
  adaptive        its policy chooses in each frame
  random policy   the same weights; each width is drawn as often as the policy chose it, whatever the frame shows
  3/4, 1/2 width  the same weights, one width for all frames: what was trained the same way and does not adapt
  every k-th      dense, in between the boxes, or the keypoints, are held
  gates           the preset's own; with the policy; and at half the width

MACs: shares of the dense network's. CPU ms: processor time of the network in a frame, its policy included, one thread, by turns. ratios:
shares of the frames at 1, 3/4 and 1/2. "lost": points of AP50, F1 or PCK below dense, 95 % intervals by bootstrap over blocks of frames
(of poses: over clips).
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jhmdb import read_clips
from numpy.typing import NDArray
from sequences import SEQUENCES, load_frames
from tables import ResultTable, add_write_option
from torch import nn

from skipvid.core.ratios import NARROWER, RatioPolicy
from skipvid.core.results import Detections
from skipvid.evaluate.bootstrap import Interval
from skipvid.evaluate.jhmdb import coco_columns
from skipvid.evaluate.labels import Labels
from skipvid.evaluate.precision import pck_hits
from skipvid.evaluate.run import Pass, add_labelled, compare
from skipvid.evaluate.true_boxes import PERSON
from skipvid.evaluate.truth import FrameTruth
from skipvid.models import find_spec
from skipvid.nn import FixedPolicy, adaptive_layers, reset
from skipvid.nn.adaptive import partners
from skipvid.presets.preset import DEFAULT_DETECT, DEFAULT_POSE, Preset, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.report.agreement import agreement
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.tasks.crops import StickyRule
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.pose_engine import PoseEngine
from skipvid.train.adaptive_net import Student, make_student, narrowed_state, worth_adapting
from skipvid.train.adaptive_order import pair_channels
from skipvid.train.clips import Piece, cut_pieces, split_pieces
from skipvid.train.gates import piece_length
from skipvid.train.loop import Schedule
from skipvid.train.maps import Maps
from skipvid.train.open_subject import open_subject
from skipvid.train.readers import read_frames
from skipvid.train.subjects import Subject
from skipvid.train.widths import WidthRecipe, train_widths

PRESETS = {"detect": DEFAULT_DETECT, "pose": DEFAULT_POSE}

SAVING = 0.28
"""Share of the network's MACs that the policies aim at, between what 3/4 and 1/2 of the channels save."""

PICTURES: dict[str, tuple[str, ...]] = {"detect": (), "pose": ("images/coco_person_kp/train",)}
"""Single pictures that are learned from, too, EACH of every folder: the clips show few persons. A detector that was cut to fit 300 pictures
and 16 pieces of clips lost 6.0 points on PETS at 3/4, one that was cut to fit the clips alone 1.0."""

EACH = 150

CLIPS = {
    "detect": (
        "videos/moving/demo.mp4",
        "videos/moving/test_video_structuralize.mp4",
        "videos/fixed/pedestrian_survaillance.mp4",
        "videos/fixed/vehicle_survaillance.mp4",
    ),
    "pose": ("videos/fixed/exercise.avi", "videos/fixed/pose_squats.mp4", "videos/moving/demo.mp4", "videos/fixed/demo_skeleton.mp4"),
}
"""What is learned from; nothing of it is measured on."""

MOVING = {"bikes": "videos/moving/bikes.mp4", "DAVIS tennis": "sequences/davis_tennis"}
"""Moving cameras without truth: the dense network stands in for it."""

FLOOR = 0.05
"""Score from which detections count for AP50."""


def train(options: argparse.Namespace) -> None:
    task = options.task
    preset = load_preset(PRESETS[task])
    subject = open_subject(preset, resolve_weights(preset).path)
    schedule = Schedule(options.steps, batch=8, rate=2e-5, warmup=5, evaluate_every=options.steps, checkpoint_every=20)
    clips = [options.data / clip for clip in CLIPS[task]]
    pieces = cut_pieces(
        clips, [None] * len(clips), options.work / task / "frames", longest=subject.longest, length=piece_length(2), most_frames=180
    )
    pieces += [each for folder in PICTURES[task] for each in pictures(options.data / folder, subject.longest)]
    learned, held = split_pieces(subject.keep(pieces), 0.2)
    single = [piece for piece in held if len(piece.frames) == 1]
    held = [piece for piece in held if len(piece.frames) > 1] + single[:6]
    folder = options.work / task / "adaptive"
    resume = any(folder.glob("width-*/checkpoint.pt"))
    train_widths(subject, WidthRecipe(schedule, target_saving=SAVING), learned, held, folder, name="adaptive", resume=resume, report=print)


def pictures(folder: Path, longest: int) -> list[Piece]:
    """Pictures of a folder, evenly spread over their names, each a piece of one frame whose longer side is `longest`."""
    paths = sorted(folder.rglob("*.jpg"))
    found = []
    for path in paths[:: max(1, len(paths) // EACH)][:EACH]:
        image = cv2.imread(str(path))
        scale = longest / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        found.append(Piece(folder.name, np.asarray(small, np.uint8)[None], None))
    return found


Arrays = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A frame to measure on. anew: whether a stream begins with it. read: what is found, from the network's maps. score: adds what was
    found to a pass; it gets what the dense network found, too."""

    picture: Picture
    anew: bool
    read: Callable[[Arrays], Any]
    score: Callable[[Pass, Any, Any], None]


@dataclass(eq=False)  # no slots: its session is made of the others
class Way:
    """A network with its gates, run in every so many frames. session: its stream. ratios: of the frames that were run."""

    name: str
    model: SkipModel
    every: int = 1
    ms: list[float] = field(default_factory=list)
    ratios: Counter[float] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.session = self.model.session()

    def run(self, picture: Picture) -> tuple[Arrays, int]:
        """Maps, and MACs."""
        maps = tuple(each.copy() for each in self.session.maps(picture))
        self.ratios[self.session.ratio] += 1
        return maps, self.session.cost.macs


@dataclass(frozen=True, slots=True, eq=False)
class RandomRatios(RatioPolicy):
    """Ratios at random whatever the frame shows, as often as the biases, logarithms of shares, say. rng: what is drawn from."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        drawn = self.outer_bias + self.rng.gumbel(size=len(self.outer_bias))
        return (1000 * drawn).astype(np.float32)  # so that the hysteresis says nothing


def blind_model(preset: Preset, config: SkipConfig, ratios: Counter[float]) -> SkipModel:
    """The network of a preset with several widths, which are taken as often as in `ratios`, whatever the frame shows."""
    net = find_spec(preset.model).load(resolve_weights(preset).path, preset.label_set.num_outputs)
    found = getattr(net, NARROWER)
    counts = np.array([ratios[ratio] for ratio in (1.0, *found.ratios)], np.float32)
    blind = RandomRatios(
        np.zeros((1, found.policy.inner.shape[1]), np.float32),
        np.zeros(1, np.float32),
        np.zeros((len(counts), 1), np.float32),
        np.log(counts + 1e-9),
    )
    setattr(net, NARROWER, replace(found, policy=blind))
    return SkipModel(net, config)


def detection_shots(options: argparse.Namespace, engine: DetectEngine) -> dict[str, tuple[str, int, list[Shot]]]:
    """By name of the material: measure, block of frames of the bootstrap, frames."""
    found: dict[str, tuple[str, int, list[Shot]]] = {}
    for each in SEQUENCES:
        labels = Labels(each.categories, merged=True)
        images, truths = load_frames(options.data, each, options.frames)
        shots = []
        for number, (image, truth) in enumerate(zip(images, truths, strict=True)):
            true = FrameTruth(truth.boxes, np.full(len(truth.boxes), each.categories[0], np.int64), truth.ignore)

            def score(outcome: Pass, here: Detections, dense: Detections, true: FrameTruth = true, labels: Labels = labels) -> None:
                add_labelled(outcome, here, true, "clip", labels, ([], []))

            shots.append(_detection_shot(engine, image, number == 0, score))
        found[each.name] = ("AP50", 25, shots)
    for name, path in MOVING.items():
        shots = []
        for number, image in read_frames(options.data / path):
            if number >= options.frames:
                break
            shots.append(_detection_shot(engine, np.ascontiguousarray(image), number == 0, partial(_agree, engine.preset.score_threshold)))
        found[name] = ("agreement", 10, shots)
    return found


def _detection_shot(engine: DetectEngine, image: NDArray[np.uint8], anew: bool, score: Callable[[Pass, Any, Any], None]) -> Shot:
    task = engine.task()
    return Shot(task.prepare(image), anew, lambda maps: task.decode(maps, (image.shape[0], image.shape[1])), score)


def _agree(threshold: float, outcome: Pass, here: Detections, dense: Detections) -> None:
    """F1 against what the dense network shows."""
    pair = agreement(_shown(dense, threshold), _shown(here, threshold))
    outcome.groups.append("clip")
    outcome.agreed.append((2 * pair.tp, 2 * pair.tp + pair.fp + pair.fn))


def _shown(found: Detections, threshold: float) -> Detections:
    keep = np.flatnonzero(found.scores >= threshold)
    return Detections(found.boxes[keep], found.scores[keep], found.category_ids[keep], ("",) * len(keep))


def pose_shots(options: argparse.Namespace, engine: PoseEngine) -> dict[str, tuple[str, int, list[Shot]]]:
    """JHMDB's clips with windows that stay on the true box, as in the product; a new window begins a stream anew."""
    rule, task = StickyRule(), engine.task()
    found: dict[str, tuple[str, int, list[Shot]]] = {}
    for camera in ("static", "moving"):
        shots = []
        for clip in read_clips(options.data / "sequences" / "jhmdb"):
            if clip.static != (camera == "static"):
                continue
            window = None
            for number, frame in enumerate(clip.frames[: options.frames]):
                anew = window is None or not rule.holds(window, clip.boxes[number], (frame.height, frame.width))
                window = rule.place(clip.boxes[number], engine.input_size) if anew or window is None else window
                truth, box = clip.labelled.frames[frame.index], clip.boxes[number]
                columns = coco_columns(clip.labelled.keypoint_names, engine.preset.keypoints)
                score = partial(_hits, clip.labelled.name, truth, box, columns)
                shots.append(Shot(task.prepare(frame.image, window), anew, partial(_read_pose, task, window), score))
        found[f"JHMDB, {camera} camera"] = ("PCK", 0, shots)
    return found


def _hits(
    name: str,
    truth: FrameTruth,
    box: NDArray[np.float32],
    columns: tuple[list[int], list[int]],
    outcome: Pass,
    here: NDArray[np.float32],
    dense: NDArray[np.float32],
) -> None:
    """PCK@0.2 of one person."""
    found = Detections(box[None], np.ones(1, np.float32), np.array([PERSON]), ("person",), keypoints=here[None])
    outcome.groups.append(name)
    outcome.joints.append(pck_hits(found, truth, columns))


def _read_pose(task: Any, window: Any, maps: Arrays) -> NDArray[np.float32]:
    keypoints: NDArray[np.float32] = task.decode(maps, window)
    return keypoints


def run_pass(way: Way, shots: list[Shot], dense: list[Any] | None) -> tuple[Pass, list[Any]]:
    """One way over some frames. dense: what the dense network found; None while it is the dense network that is run."""
    outcome, found, last = Pass(way.name), [], None
    since = 0
    for number, shot in enumerate(shots):
        since = 0 if shot.anew else since + 1
        if shot.anew:
            way.session.reset()
        if since % way.every == 0:
            maps, spent = way.run(shot.picture)
            last = shot.read(maps)
            outcome.macs += spent
        found.append(last)
        shot.score(outcome, last, last if dense is None else dense[number])
    return outcome, found


def time_ways(ways: list[Way], shots: list[Shot]) -> None:
    """Processor time of the networks that run in every frame, by turns on the same frames."""
    timed = [way for way in ways if way.every == 1]
    for number, shot in enumerate(shots):
        for way in timed:
            if shot.anew:
                way.session.reset()
            begin = time.process_time()
            way.session.maps(shot.picture)
            if number >= 2:
                way.ms.append((time.process_time() - begin) * 1e3)


def measure(options: argparse.Namespace) -> None:
    task, root = options.task, options.work / options.task
    base = load_preset(PRESETS[task])
    plain = SkipConfig(gate="none", threads=1)
    engine = _engine(base, plain)
    shipped = load_preset(root / "adaptive" / "adaptive.yaml")
    gates = SkipConfig.of(base, threads=1)
    ours = SkipConfig.of(shipped, threads=1)
    adaptive, gated, both = _engine(shipped, plain).model, _engine(base, gates).model, _engine(shipped, ours).model
    fixed = {ratio: blind_model(shipped, plain, Counter({ratio: 1})) for ratio in WIDTHS[1:]}
    half_gated = blind_model(shipped, ours, Counter({0.5: 1}))
    material = detection_shots(options, engine) if isinstance(engine, DetectEngine) else pose_shots(options, engine)
    note = f"{base.name}; {options.steps} steps of training after the closed form, eight pictures each."
    columns = ["measured on", "way", "value", "lost (95 %)", "MACs", "CPU ms", "ratios"]
    with ResultTable(f"adaptive-{task}", columns, options.write, note) as table:
        for name, (measured, block, shots) in material.items():
            chosen = _ratios_of(adaptive, shots)
            ways = [
                Way("dense", engine.model),
                Way("adaptive", adaptive),
                Way("random policy", blind_model(shipped, plain, chosen)),
                *(Way(f"{ratio:g} width", model) for ratio, model in fixed.items()),
                *(Way(f"every {every}, held", engine.model, every) for every in (2, 3)),
                Way("gates", gated),
                Way("gates, adaptive", both),
                Way("gates, 0.5 width", half_gated),
            ]
            time_ways(ways, shots[: options.timed])
            base_pass, dense_found = run_pass(ways[0], shots, None)
            for way in ways:
                way.session.reset()
                way.ratios.clear()
                outcome, _ = run_pass(way, shots, dense_found)
                found = compare(outcome, base_pass, block, 1000)[measured]
                ms = f"{np.median(way.ms):.1f}" if way.ms else ""
                lost = "" if way.name == "dense" else _text(found.lost)
                frames = sum(way.ratios.values())
                shares = " ".join(f"{way.ratios[ratio] / frames:.0%}" for ratio in WIDTHS) if set(way.ratios) - {1.0} else ""
                table.row(name, way.name, f"{found.value.value:.1f}", lost, f"{outcome.macs / base_pass.macs:.0%}", ms, shares)


WIDTHS = (1.0, *WidthRecipe(Schedule(2)).ratios)


def _ratios_of(model: SkipModel, shots: list[Shot]) -> Counter[float]:
    """How often the policy of a network takes each ratio."""
    way = Way("", model)
    for shot in shots:
        if shot.anew:
            way.session.reset()
        way.run(shot.picture)
    return way.ratios


def _engine(preset: Preset, config: SkipConfig) -> DetectEngine | PoseEngine:
    weights = resolve_weights(preset)
    if preset.task == "detect":
        return DetectEngine(preset, config, weights.path, weights.sha256, FLOOR, scene_cuts=False)
    return PoseEngine(preset, config, weights.path, weights.sha256)


def _text(interval: Interval) -> str:
    return f"{interval.value:.1f}" if np.isinf(interval.low) else f"{interval.value:.1f} ({interval.low:.1f} … {interval.high:.1f})"


UNSEEN = {"detect": tuple(MOVING.values()), "pose": ("videos/fixed/S001C001P001R001A001_rgb.avi", "videos/fixed/Alley.mp4")}


def alike(options: argparse.Namespace) -> None:
    task = options.task
    preset = load_preset(PRESETS[task])
    subject = open_subject(preset, resolve_weights(preset).path)
    samples = []
    for name, clips in (("alike-fitted", CLIPS[task]), ("alike-unseen", UNSEEN[task])):
        paths = [options.data / clip for clip in clips]
        folder, length = options.work / task / name, piece_length(2)
        pieces = subject.keep(
            cut_pieces(paths, [None] * len(paths), folder, longest=subject.longest, length=length, most_frames=6 * length * len(paths))
        )
        rng = np.random.default_rng(0)
        samples.append(torch.cat([subject.prepare(subject.draw(pieces, 2, 192, rng).images[:1]) for _ in range(6)]))
    numbered = copy.deepcopy(subject.teacher)
    chosen = worth_adapting(task)
    renumbered = set(pair_channels(numbered, [path for path, conv in _convs(numbered) if chosen(path, conv)], samples[0]))
    columns = ["numbers", "layers", "1/2, all", "1/4, all", "1/2, renumbered layers", "distance, one layer at 1/2: median", "worst"]
    with ResultTable(f"alike-{task}", columns, options.write, preset.name) as table:
        for name, pairs in (("as they are", False), ("paired", True)):
            student = make_student(subject.teacher, task, samples[0], pairs=pairs)
            left = _unexplained(student, samples[1])
            apart = _one_by_one(student, subject, samples[1])
            middle = [f"{np.median([row[number] for row in left.values()]):.2f}" for number in (0, 1)]
            own = f"{np.median([left[path][0] for path in renumbered]):.2f} ({len(renumbered)} layers)"
            table.row(name, len(left), *middle, own, f"{np.median(apart):.3f}", f"{max(apart):.3f}")


def time_half(options: argparse.Namespace) -> None:
    task = options.task
    preset = load_preset(PRESETS[task])
    subject = open_subject(preset, resolve_weights(preset).path)
    plain = SkipConfig(gate="none", threads=1)
    engine = _engine(preset, plain)
    material = detection_shots(options, engine) if isinstance(engine, DetectEngine) else pose_shots(options, engine)
    shots = [shot for _, _, each in material.values() for shot in each[: options.timed]]
    ways = [Way("dense", engine.model)]
    for number, name in ((1, "1/2"), (2, "1/4")):
        student = make_student(subject.teacher, task, shots[0].picture.tensor())
        state = narrowed_state(student, subject.teacher, {path: number for path, _ in adaptive_layers(student.net)})
        net = find_spec(preset.model).load(state, preset.label_set.num_outputs)
        ways.append(Way(f"all those layers at {name}", SkipModel(net, plain)))
    time_ways(ways, shots)
    columns = ["network", "MACs", "CPU ms", "of dense: median of the frames"]
    with ResultTable(f"adaptive-time-{task}", columns, options.write, f"{preset.name}; {len(ways[0].ms)} frames.") as table:
        dense = np.array(ways[0].ms)
        counts = [way.model.program((shots[0].picture.shape,)).costs.dense_macs for way in ways]
        for way, count in zip(ways, counts, strict=True):
            part = np.median(np.array(way.ms) / dense)
            table.row(way.name, f"{count / counts[0]:.0%}", f"{np.median(way.ms):.1f}", f"{part:.0%}")


def _convs(net: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d)]


@torch.no_grad()
def _unexplained(student: Student, x: torch.Tensor) -> dict[str, list[float]]:
    """By layer, for each ratio below 1: squared error of the rebuilt channels over their variance."""
    layers = adaptive_layers(student.net.eval())
    with Maps(student.dense, [path for path, _ in layers]) as maps:
        student.dense(x)
    found: dict[str, list[float]] = {}
    for path, layer in layers:
        y = maps.found[path][0]
        for number, width in enumerate(layer.widths[1:]):
            rest = y[:, width:]
            off = layer.cheap[number](partners(y[:, :width], rest.shape[1])) - rest
            found.setdefault(path, []).append(float(off.square().sum() / (rest - rest.mean((0, 2, 3), keepdim=True)).square().sum()))
    return found


@torch.no_grad()
def _one_by_one(student: Student, subject: Subject, x: torch.Tensor) -> list[float]:
    """Distance of the results from the dense network's, with one layer at a half and all others whole."""
    layers = adaptive_layers(student.net.eval())
    wanted, found = subject.teacher(x), []
    for _, layer in layers:
        layer.set_policy(FixedPolicy())
    for _, layer in layers:
        layer.set_policy(FixedPolicy(1))
        reset(student.net)
        found.append(float(subject.distance(student.net(x), wanted)))
        layer.set_policy(FixedPolicy())
    return found


def asked(about: str | None, actions: Mapping[str, Callable[[argparse.Namespace], None]], steps: int) -> None:
    """Do what the command line says. steps: of each training, where it says nothing."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=list(actions))
    parser.add_argument("task", choices=list(PRESETS))
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--work", type=Path, required=True, help="where trainings are kept; one that was broken off goes on")
    parser.add_argument("--steps", type=int, default=steps, help="of each training")
    parser.add_argument("--frames", type=int, default=100, help="to measure on, of each sequence or clip")
    parser.add_argument("--timed", type=int, default=30, help="frames whose processor time is measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    actions[options.action](options)


if __name__ == "__main__":
    asked(__doc__, {"train": train, "measure": measure, "alike": alike, "time": time_half}, 120)
