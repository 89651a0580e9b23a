"""What taking the noise out of the network's pictures does (`--denoise auto`): accuracy and MACs on noisy cameras, and on calm ones.

    nice -n 19 python benchmarks/denoise.py --data DIR --keep FOLDER --write

The sequences with truth as they are (highway's camera is noisy), and one of them under Gaussian noise of --sigma grey levels. "Lost": to
the dense network on the same frames, unfiltered, with the 95 % interval by bootstrap over blocks of 25 frames. --first leaves out the first
frames of highway, which the filter's constants were looked at on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from gates_table import numbers
from measured_clips import FAINTEST, Passes, detector, lost, measured, value_of, with_truth
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.results import Frame
from skipvid.evaluate.goal import with_noise
from skipvid.evaluate.material import Material, Seen
from skipvid.evaluate.truth import LabelledClip
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine

BLOCK = 25
LOOKED_AT = 120
"""Frames of highway that the filter's constants were looked at on."""


def changed(material: Material, sigma: float, first: int) -> Material:
    """The same clip without its first frames, and under noise of so many grey levels."""
    (clip,) = material.clips

    @contextmanager
    def opened(own: LabelledClip) -> Iterator[Iterator[Frame]]:
        spoil = with_noise(sigma=sigma) if sigma else lambda frame: frame
        with material.opened(own) as frames:
            yield (spoil(frame) for frame in itertools.islice(frames, first, None))

    name = clip.name + (f", frames from {first}" if first else "") + (f", noise {sigma:g}" if sigma else "")
    return Material.read([replace(clip, name=name)], opened, material.labels)


def filtered(engine: DetectEngine, material: Material, denoise: str, level: float, passes: Passes, gate: str = "norm") -> Seen:
    """What gates find and spend. level: factor on the preset's thresholds."""
    config = replace(engine.model.config, gate=gate)
    gated = engine.regated(config.at(level * config.threshold))
    gated.use_denoising(denoise)
    return passes.instead(gated, material, f"denoise {denoise} {gated.model.config!r}", gated.stream)


def show(engine: DetectEngine, material: Material, levels: list[float], passes: Passes, table: ResultTable) -> None:
    """The rows of a clip: the dense network, and gates without and with the filter."""
    dense = passes.dense(engine, material)
    reference = measured(material, dense, dense)
    table.row(material.clips[0].name, "dense", "", f"{value_of(reference):.1f}", "", "1.00×")
    for denoise, level in itertools.product(("none", "auto"), levels):
        own = measured(material, filtered(engine, material, denoise, level, passes), dense)
        loss = interval_text(lost(own, reference, BLOCK), 1)
        table.row(material.clips[0].name, denoise, f"{level:g}", f"{value_of(own):.1f}", loss, f"{own.fewer:.2f}×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--preset", default="efficientdet-nano")
    parser.add_argument("--frames", type=int, default=300, help="of each sequence")
    parser.add_argument("--first", type=int, default=LOOKED_AT, help="frames of highway that are left out")
    parser.add_argument("--sigma", type=numbers, default=[0.0, 4.0], help="noise added, grey levels")
    parser.add_argument("--noise-on", default="PETS09", help="sequence that noise is added to")
    parser.add_argument("--levels", type=numbers, default=[1.0], help="factors on the preset's thresholds")
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)  # it has little to do here, and its threads spin afterwards
    preset = load_preset(options.preset)
    engine, passes = detector(preset, SkipConfig.of(preset, threads=1), FAINTEST), Passes(options.keep)
    columns = ["sequence", "--denoise", "level", "AP50", "lost (95 %)", "fewer MACs"]
    note = f"{preset.name}, at most {options.frames} frames; level: factor on the thresholds."
    with ResultTable("denoise", columns, options.write, note) as table:
        for name, material in with_truth(options.data, options.frames).items():
            for sigma in options.sigma if name == options.noise_on else (0.0,):
                show(engine, changed(material, sigma, options.first if name == "highway" else 0), options.levels, passes, table)


if __name__ == "__main__":
    main()
