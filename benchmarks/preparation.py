"""What it changes that the network's picture is made from decoded planes, not by way of BGR in full size: for the dense network.

    python benchmarks/preparation.py --data DIR --keep FOLDER --write

By way of BGR, OpenCV averages areas of a picture whose channels were rounded before. "F1": at IoU 0.5 of what one shows against what the
other shows. The flicker floor is that of the network against itself under noise of one grey level. Rows of sequences with truth: points of
AP50 lost. Intervals by bootstrap over frames, five at a time in clips, 25 in sequences. Pictures of a folder are BGR already: both ways
are one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from bf16_accuracy import FLICKER_BLOCK, counts, f1
from measured_clips import FAINTEST, Passes, detector, every_video, lost, measured, value_of, with_truth, without_truth
from proportions import BLOCK
from tables import ResultTable, add_write_option, interval_text

from skipvid.core.results import Frame
from skipvid.evaluate.bootstrap import blocks_of, bootstrap
from skipvid.evaluate.goal import with_noise
from skipvid.evaluate.run import joined
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig


def by_bgr(frame: Frame) -> Frame:
    """The frame as it would be without its planes."""
    return replace(frame, picture=frame.image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--frames", type=int, default=60, help="of each clip at most")
    parser.add_argument("--sequence-frames", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="folder for passes that were measured")
    add_write_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset, passes = load_preset("efficientdet-nano"), Passes(options.keep)
    shown, engine = (detector(preset, SkipConfig.of(preset, threads=1), score) for score in (preset.score_threshold, FAINTEST))
    columns = ["clip", "frames", "F1, planes to BGR", "flicker floor", "over it (95 %)", "AP50 by BGR", "planes lose (95 %)"]
    with ResultTable("preparation", columns, options.write) as table:
        for clip, material in without_truth([each for each in every_video(options.data) if "jhmdb" not in each], options.frames).items():
            planes, bgr = passes.dense(shown, material), passes.noisy(shown, material, by_bgr, "by BGR")
            own, floor = counts(planes, bgr), counts(planes, passes.noisy(shown, material, with_noise()))
            over = bootstrap(
                lambda times, own=own, floor=floor: f1(own, times) - f1(floor, times),  # type: ignore[misc]
                blocks_of([clip] * len(material), FLICKER_BLOCK),
            )
            table.row(clip, len(material), f"{f1(own):.3f}", f"{f1(floor):.3f}", interval_text(over, 3), "", "")
        every = []
        for name, material in with_truth(options.data, options.sequence_frames).items():
            seen = passes.dense(engine, material), passes.noisy(engine, material, by_bgr, "by BGR")
            every.append([measured(material, each, seen[0]) for each in seen])
            table.row(name, len(material), "", "", "", f"{value_of(every[-1][1]):.1f}", interval_text(lost(*every[-1], BLOCK), 2))
        both = [joined(each) for each in zip(*every, strict=True)]
        table.row("together", len(both[1].groups), "", "", "", f"{value_of(both[1]):.1f}", interval_text(lost(both[0], both[1], BLOCK), 2))


if __name__ == "__main__":
    main()
