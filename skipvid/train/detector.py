"""Training a small detector, from a mix of labelled and teacher-labelled pictures to a weights file and a preset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skipvid.errors import OutputError, UsageError
from skipvid.models import build_model, load_weights
from skipvid.models.efficientdet import CONFIGS, EfficientDet
from skipvid.presets import Preset, dump_preset, load_preset
from skipvid.train.augment import AugmentConfig, BatchMaker
from skipvid.train.label import Trust, doubt, label_frames
from skipvid.train.loop import Schedule, Trainer
from skipvid.train.losses import LossConfig, detection_loss
from skipvid.train.measure import Exam, Examiner, exams_of_samples
from skipvid.train.norms import settle_norms
from skipvid.train.predict import cached_anchors, normalise, predict
from skipvid.train.samples import CATEGORIES, CLASS_COUNT, Sample, load_pack, save_pack
from skipvid.train.teachers import Found, Teacher
from skipvid.train.transplant import read_lcnet, transplant
from skipvid.weights import resolve_weights

Report = Callable[[str], None]
"""Called with one line about what is being done."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained, and on what size of pictures."""

    schedule: Schedule
    network: str = "efficientdet-nano"  # an EfficientDet; it gets six classes
    crops: tuple[int, ...] = (320,)  # sides of training pictures, one after the other, multiples of 32
    longest: int = 512  # longer side of the input in use and in measuring, pixels
    settle_batches: int = 12  # on which the final BatchNorm statistics are measured, at `longest` × ¾ of it
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """weights: the file to use. grades: what was measured when it was chosen, by name; empty where nothing was held out."""

    weights: Path
    grades: Mapping[str, float]


def train_detector(
    recipe: Recipe,
    samples: Sequence[Sample],
    exams: Sequence[Exam],
    folder: Path,
    *,
    shares: Mapping[str, float] | None = None,
    start: Path | None = None,
    backbone: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train, choosing the weights with the best mean AP50 on `exams` (the last ones without exams), and write `weights.pt`.

    shares: how often each source of samples is drawn; None = every sample alike. start: weights to begin with. backbone: instead of
    these, a PicoDet-LCNet file in OpenVINO's IR whose backbone is transplanted (efficientdet-nano only). With neither, random weights.
    folder: where checkpoints go; a run in it is gone on with if resume is set.
    Raises UsageError for options that do not fit together, WeightsError for unfit files, OutputError where the folder cannot be written.
    """
    if recipe.network not in CONFIGS:
        raise UsageError(f"'{recipe.network}' is no EfficientDet", f"known: {', '.join(CONFIGS)}")
    if start is not None and backbone is not None:
        raise UsageError("both weights and a backbone to start from were given", "give one of them")
    schedule, scale = recipe.schedule, CONFIGS[recipe.network].anchor_scale
    maker = BatchMaker(samples, recipe.augment, shares)
    torch.manual_seed(schedule.seed)
    net = build_model(recipe.network, num_classes=CLASS_COUNT)
    assert isinstance(net, EfficientDet)
    if start is not None:
        load_weights(net, start)
    if backbone is not None:
        transplant(read_lcnet(backbone), net.backbone, normalise(maker.batch(48, 320, seed=schedule.seed, step=schedule.steps).images))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of_step(net: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        size = recipe.crops[step % len(recipe.crops)]
        batch = maker.batch(schedule.batch, size, seed=schedule.seed, step=step)
        class_levels, box_levels = net(normalise(batch.images))
        loss = detection_loss(
            class_levels, box_levels, cached_anchors((size, size), scale), batch.targets, torch.from_numpy(batch.known), recipe.loss
        )
        return loss.total, {"score": float(loss.score.detach()), "box": float(loss.box.detach())}

    def finish(net: nn.Module) -> None:
        rows = -(-recipe.longest * 3 // 4 // 32) * 32
        numbers = range(schedule.steps, schedule.steps + recipe.settle_batches)
        batches = (maker.batch(schedule.batch, recipe.longest, seed=schedule.seed, step=number).images[:, :rows] for number in numbers)
        settle_norms(net, (normalise(batch) for batch in batches), keep=schedule.frozen)

    trainer = Trainer(net, schedule, folder, resume=resume)
    examiner = Examiner(exams, longest=recipe.longest, anchor_scale=scale) if exams else None
    best = trainer.run(loss_of_step, examiner, finish, quiet=quiet)
    grades = max(trainer.history, key=lambda row: row["AP50"], default={})
    about = {"network": recipe.network, "steps": trainer.step, "batch": schedule.batch, "crops": list(recipe.crops), "grades": dict(grades)}
    weights = folder / "weights.pt"
    export_weights(torch.load(best, weights_only=True), weights, about)
    return Trained(weights, {name: value for name, value in grades.items() if name != "step"})


def export_weights(state: Mapping[str, Tensor], path: Path, about: Mapping[str, Any]) -> str:
    """Write a state dict for shipping: convolutions in half precision (BatchNorms stay as they are), `about` beside it.

    Returns the file's SHA-256. Raises OutputError.
    """
    small = {name: tensor.half() if tensor.ndim >= 2 else tensor.clone() for name, tensor in state.items()}
    try:
        torch.save({"state_dict": small, "about": dict(about)}, path)
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}", "check the folder and the space left") from error


class PresetTeacher:
    """One of our own detectors as a teacher, in eval mode.

    outputs: for each output of its class head COCO's category number, 0 = unused. longest: longer side of its input, pixels.
    """

    def __init__(self, net: EfficientDet, outputs: Sequence[int], longest: int) -> None:
        self._net, self._longest = net.eval(), longest
        ids = tuple(CATEGORIES)
        self._classes = np.array([ids.index(number) if number in ids else -1 for number in outputs], np.int64)
        self.known = np.isin(np.arange(CLASS_COUNT), self._classes)

    def detect(self, image: np.ndarray[Any, np.dtype[np.uint8]]) -> Found:
        found = next(predict(self._net, [image], longest=self._longest, anchor_scale=self._net.config.anchor_scale, floor=0.05))
        classes = self._classes[found.classes]
        ours = classes >= 0
        return Found(found.boxes[ours], found.scores[ours], classes[ours])


def open_preset_teacher(name_or_path: str) -> PresetTeacher:
    """The detector of a preset, its weights downloaded where needed, as a teacher. Raises PresetError and WeightsError."""
    preset = load_preset(name_or_path)
    if preset.task != "detect":
        raise UsageError(f"preset {preset.name} is for the task '{preset.task}'", "a teacher must detect: skipvid presets list")
    net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    assert isinstance(net, EfficientDet)
    load_weights(net, resolve_weights(preset).path)
    longest = preset.image_size if isinstance(preset.image_size, int) else max(preset.image_size)
    return PresetTeacher(net, preset.label_set.outputs, longest)


def distill_detector(
    recipe: Recipe,
    clips: Sequence[Path],
    teacher: Teacher,
    folder: Path,
    *,
    name: str,
    stride: int = 10,
    held_out: float = 0.2,
    trust: Trust | None = None,
    start: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    report: Report = print,
) -> Path:
    """A detector for one's own camera, from video without labels; returns the path of a preset (YAML) that uses it.

    The teacher labels every `stride`-th frame. The last `held_out` of each clip is not learned from: the AP50 against the teacher there
    chooses the weights. start: weights to fine-tune. Everything lies in `folder`: labels/, run/, weights.pt and NAME.yaml.
    Raises UsageError where no object is found, SourceError for a clip that cannot be read.
    """
    labels = folder / "labels"
    try:
        labels.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {labels}: {error.strerror}", "choose another one") from error
    learned: list[Sample] = []
    kept: list[Sample] = []
    for number, clip in enumerate(clips):
        pack = labels / f"{number:02d}-{clip.stem}.npz"
        if not pack.exists():
            report(f"labelling {clip}")
            save_pack(pack, list(label_frames(clip, teacher, stride=stride, longest=max(640, recipe.longest), trust=trust)))
        frames = [replace(sample, targets=doubt(sample.targets)) for sample in load_pack(pack)]
        split = len(frames) - int(len(frames) * held_out)
        learned, kept = learned + frames[:split], kept + frames[split:]
    objects = sum(int((~sample.targets.ignore).sum()) for sample in learned)
    if not objects:
        raise UsageError("the teacher is sure of no object in these clips", "lower --sure, or choose a teacher that knows the scene")
    report(f"{len(learned)} frames with {objects} objects to learn from, {len(kept)} held out")
    trained = train_detector(recipe, learned, exams_of_samples(kept), folder / "run", start=start, resume=resume, quiet=quiet)
    return write_preset(trained, recipe, folder / f"{name}.yaml", source=f"distilled from {len(clips)} clips by skipvid")


def write_preset(trained: Trained, recipe: Recipe, path: Path, *, source: str) -> Path:
    """A preset file that uses the trained weights, by a path relative to it. Raises OutputError."""
    grade = f"AP50 {trained.grades['AP50']:.3f} held out" if trained.grades else "not measured"
    preset = Preset(
        name=path.stem,
        description=f"{recipe.network} trained with skipvid, {grade}",
        task="detect",
        model=recipe.network,
        labels=tuple(CATEGORIES.values()),
        image_size=recipe.longest,
        size_multiple=32,
        channels="rgb",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        weights=os.path.relpath(trained.weights, path.parent),
        sha256=hashlib.sha256(trained.weights.read_bytes()).hexdigest(),
        score_threshold=0.3,
        gate="norm",
        threshold=0.03,
        block=1,
        licence="as the material it was trained on",
        source=source,
    )
    try:
        path.write_text(dump_preset(preset), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "check the folder") from error
    return path
