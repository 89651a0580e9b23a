"""Does it pay for any network? Gated, dense and in PyTorch, over networks of torchvision, timm and effdet.

    python benchmarks/zoo.py [--frames 7] [--threshold T] [--groups GROUP,...] [--only NAME,...] [--report] [--write]
                             [--keep FILE [--kept-only]]

Needs torchvision, timm and effdet; a network whose package is missing is left out, and named. Weights are random; BatchNorm's statistics
are those of the maps that the network makes of random pictures. In each frame other content fills a square of 5 % of the picture. All on
one thread, by turns in the same process; times are processor times of a frame (medians), which a busy machine disturbs less than the clock.

The columns: MACs of layers that run on single pixels, that run as a whole, and in PyTorch (in % of all); MACs executed in a gated frame;
milliseconds gated, of an unchanged frame, dense, and of PyTorch; which operations PyTorch computes. At the end a line for each group.
With --keep each network's row goes into a file at once; a later call takes it from there, and measures only what is missing.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tables import ResultTable, add_write_option
from torch import Tensor, nn
from zoo_networks import SegFormer, Yolo

from skipvid.core.errors import SkipvidError
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.conversion import DENSE, PYTORCH, SPARSE

PATCH = 0.05
"""Share of the picture that changes."""
SETTLING = 11
"""Frames until a session knows whether gated ones pay."""
MOST_NAMED = 6
"""Networks in a row about an operation."""
COLUMNS = ("network", "sparse", "dense", "PyTorch", "executed", "gated ms", "still ms", "dense ms", "PyTorch ms", "dense/gated",
           "PyTorch/gated", "frames", "in PyTorch")  # fmt: skip
CONVOLUTIONAL = (
    *("torchvision:" + name for name in ("resnet18", "resnet50", "squeezenet1_1", "googlenet", "inception_v3", "densenet121",
      "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0", "efficientnet_b0",
      "regnet_y_400mf", "mnasnet0_5", "vgg11_bn", "convnext_tiny")),
    *("timm:" + name for name in ("convnext_nano", "convnextv2_atto", "fastvit_t8", "poolformer_s12", "repvgg_a0", "ghostnet_100",
      "mixnet_s", "hrnet_w18_small", "cspresnet50", "dla34", "res2net50_26w_4s", "efficientnet_lite0",
      "mobilenetv4_conv_small", "repghostnet_100", "tinynet_a", "lcnet_100", "resnest14d", "darknet53", "gernet_s", "edgenext_xx_small")),
    "effdet:tf_efficientdet_d0", "effdet:tf_efficientdet_lite0",
)  # fmt: skip
TRANSFORMERS = (
    *("timm:" + name for name in ("vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "pvt_v2_b0",
      "mobilevit_xxs", "efficientvit_b0", "efficientformerv2_s0", "levit_128s", "xcit_nano_12_p16_224", "maxvit_rmlp_pico_rw_256",
      "mixer_s32_224", "cait_xxs24_224", "twins_svt_small", "coat_lite_tiny")),
    "torchvision:vit_b_32", "torchvision:swin_t", "own:segformer_b0",
)  # fmt: skip
GROUPS = {"convolutional": CONVOLUTIONAL, "yolo": ("own:yolov8n", "own:yolo11n"), "transformers": TRANSFORMERS}
OWN: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "yolov8n": (lambda: Yolo(640), 640),
    "yolo11n": (lambda: Yolo(640, newer=True), 640),
    "segformer_b0": (SegFormer, 256),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """shares: of the MACs, by way. Times in milliseconds, medians over frames. others: operations that PyTorch computes, with counts."""

    shares: dict[str, float]
    executed: float
    gated: float
    still: float
    dense: float
    pytorch: float
    others: dict[str, int]
    frames: int


def allow_torchvision() -> None:
    """Its wheels' operators want CUDA where that is what PyPI's are built for. No network here uses one; it imports when they are named."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in (
        "nms(Tensor dets, Tensor scores, float threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float threshold) -> Tensor",
    ):
        library.define(name)
    globals()["_library"] = library  # what it defines lives as long as it does


def build(name: str) -> tuple[nn.Module, int]:
    """A network by "package:name", and the side of its square input. Raises ImportError where the package is missing."""
    package, _, own = name.partition(":")
    torch.manual_seed(0)
    if package == "own":
        make, size = OWN[own]
        return make(), size
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        allow_torchvision()
    if package == "torchvision":
        models = importlib.import_module("torchvision.models")
        options = {"init_weights": True, "aux_logits": True} if own in ("googlenet", "inception_v3") else {}
        return models.get_model(own, weights=None, **options), 299 if own == "inception_v3" else 224
    if package == "timm":
        net = importlib.import_module("timm").create_model(own, pretrained=False)
        return net, net.default_cfg.get("input_size", (3, 224, 224))[1]
    module = importlib.import_module("effdet")
    config = module.get_efficientdet_config(own)
    config.image_size = (384, 384)
    return module.EfficientDet(config, pretrained_backbone=False), 384


def pictures(size: int, count: int, batch: int = 1) -> Iterator[Tensor]:
    """Smooth random pictures with some noise, of mean 0 and about the spread of normalised photographs."""
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(batch, 3, size // 16, size // 16, generator=generator)
        yield nn.functional.interpolate(coarse, (size, size), mode="bicubic") + 0.1 * torch.randn(batch, 3, size, size, generator=generator)


def settle_norms(net: nn.Module, size: int) -> None:
    """Give BatchNorm the statistics of the maps that it sees."""
    net.eval()
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # a mean over all batches
    with torch.no_grad():
        for picture in pictures(size, 2 if norms else 0, batch=2):
            net(picture)
    net.eval().requires_grad_(False)


def frames(size: int, count: int) -> list[Tensor]:
    """The same picture, in which a square at the same place has other content in each frame."""
    background, *contents = pictures(size, count + 1)
    side, at = round(size * PATCH**0.5), size // 3
    for content in contents:
        inside = content[..., at : at + side, at : at + side].clone()
        content.copy_(background)
        content[..., at : at + side, at : at + side] = inside
    return contents


def milliseconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return (time.process_time() - begin) * 1e3


def measure(name: str, count: int, threshold: float, report: bool) -> Measured:
    """One network. Raises SkipvidError where it cannot be converted, ImportError where its package is missing."""
    net, size = build(name)
    settle_norms(net, size)
    sequence = frames(size, count + SETTLING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, conversion = convert(net, sequence[0], SkipConfig(threshold=threshold, threads=1))
    if report:
        print(conversion)
    session, still = model.session(), model.session()
    for frame in sequence[:SETTLING]:
        session(frame)
    for once in (net, model.dense, still, still):
        once(sequence[0])
    times: dict[str, list[float]] = {way: [] for way in ("gated", "still", "dense", "pytorch")}
    executed = []
    with torch.no_grad():
        for frame in sequence[SETTLING:]:
            runs: dict[str, Callable[[], object]] = {
                "pytorch": functools.partial(net, frame),
                "dense": functools.partial(model.dense, frame),
                "gated": functools.partial(session, frame),
                "still": functools.partial(still, sequence[0]),
            }
            for way, run in runs.items():
                times[way].append(milliseconds(run))
            executed.append(1 - session.cost.saving)
    medians = {way: statistics.median(taken) for way, taken in times.items()}
    operations = {name: target.removeprefix("aten.").split(".")[0] for name, target, _ in conversion.dense}
    others = dict(Counter(operations[name] for name in conversion.fallbacks))
    shares = {way: conversion.share(way) for way in (SPARSE, DENSE, PYTORCH)}
    return Measured(shares, statistics.median(executed), others=others, frames=count, **medians)


def show(table: ResultTable, name: str, found: Measured) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(found.others).most_common(6))
    table.row(
        name.partition(":")[2],
        *(f"{found.shares[way]:.0%}" for way in (SPARSE, DENSE, PYTORCH)),
        f"{found.executed:.0%}",
        *(f"{value:.1f}" for value in (found.gated, found.still, found.dense, found.pytorch)),
        f"{found.dense / found.gated:.2f}",
        f"{found.pytorch / found.gated:.2f}",
        found.frames,
        kinds,
    )


def show_operations(rows: dict[str, Measured], target: Path | None) -> None:
    """Operation -> in which networks PyTorch computes it."""
    found: dict[str, list[str]] = {}
    for name, measured in rows.items():
        for operation in measured.others:
            found.setdefault(operation, []).append(name.partition(":")[2])
    with ResultTable("zoo-operations", ("in PyTorch", "networks", "which"), target, f"of {len(rows)} networks") as table:
        for operation, names in sorted(found.items(), key=lambda item: -len(item[1])):
            table.row(operation, len(names), ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else ""))


def sum_up(table: ResultTable, group: str, found: list[Measured]) -> None:
    """The median ratios of a group, and how many of its networks are slower gated than 1.05 times dense, or 1.1 times PyTorch."""
    dense, pytorch = [each.dense / each.gated for each in found], [each.pytorch / each.gated for each in found]
    slower = f"{sum(ratio < 1 / 1.05 for ratio in dense)} slower than dense, {sum(ratio < 1 / 1.1 for ratio in pytorch)} than PyTorch"
    cells = (f"{statistics.median(dense):.2f}", f"{statistics.median(pytorch):.2f}", "", slower)
    table.row(f"**{group} ({len(found)})**", *[""] * 8, *cells)


class KeptRows:
    """Rows in a file, a line of JSON each; without a file, none."""

    def __init__(self, path: Path | None) -> None:
        self._path, self.rows = path, dict[str, Measured]()
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                name, values = json.loads(line)
                self.rows[name] = Measured(**values)

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def get(self, name: str, make: Callable[[], Measured]) -> Measured:
        if name not in self.rows:
            self.rows[name] = make()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps((name, asdict(self.rows[name]))) + "\n")
        return self.rows[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=7, help="that are timed, when the session has settled")
    parser.add_argument("--threshold", type=float, default=SkipConfig().threshold)
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--only", default="", help="names of networks, without their packages")
    parser.add_argument("--report", action="store_true", help="print the conversion report of each network")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="of rows that are there already; new ones are added")
    parser.add_argument("--kept-only", action="store_true", help="measure nothing: the rows of FILE alone")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    only = set(filter(None, options.only.split(",")))
    missing: dict[str, str] = {}
    kept = KeptRows(options.keep)
    with ResultTable("zoo", COLUMNS, options.write, f"threshold {options.threshold}, one thread") as table:
        for group in options.groups.split(","):
            found = []
            for name in GROUPS[group]:
                if options.kept_only and name not in kept:
                    continue
                if only and name.partition(":")[2] not in only:
                    continue
                try:
                    make = functools.partial(measure, name, options.frames, options.threshold, options.report)
                    measured = kept.get(name, make)
                except (SkipvidError, ImportError) as error:
                    missing[name] = str(error)
                    continue
                show(table, name, measured)
                found.append(measured)
            if found:
                sum_up(table, group, found)
    show_operations(kept.rows, options.write)
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")


if __name__ == "__main__":
    main()
