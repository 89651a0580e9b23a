"""What H.264's presets cost and save on annotated videos: size at equal quality against processor time.

    python benchmarks/encoder.py CLIP... [--max-frames 60] [--rounds 3] [--write]

Frames are analysed and drawn as `skipvid detect` does, then encoded in one thread with each preset at several qualities. Size is that at
the luma PSNR of the reference (veryfast, crf 22), interpolated; processor time is that of the encoder alone, likewise, from the least of
the rounds. "superfast, qp" has a constant quantiser in place of crf, and looks for no scene cuts. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from tables import ResultTable, add_write_option

from skipvid.core.planes import Planes
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.video.draw import RecentActivity, draw_planes
from skipvid.video.planes import frame_of_planes, planes_of_frame, views
from skipvid.video.sources.open import open_source

WAYS = {
    "ultrafast": ("crf", {}),
    "superfast": ("crf", {"weightp": "0"}),
    "superfast, qp": ("qp", {"weightp": "0", "sc_threshold": "0"}),
    **{preset: ("crf", {}) for preset in ("veryfast", "faster", "fast", "medium")},
}
"""What sets the quality, and what is asked for beside the preset."""
REFERENCE = ("veryfast", 22)
QUALITIES = (18, 20, 22, 24, 26)
COLUMNS = ("clip", "preset", "crf or qp of equal PSNR", "size", "ms per frame")


def drawn_frames(clip: str, count: int) -> list[Planes]:
    """The first frames as an annotated video shows them."""
    preset = load_preset(DEFAULT_DETECT)
    stream = DetectEngine(preset, SkipConfig.of(preset), resolve_weights(preset).path).stream()
    recent, reformatter, drawn = RecentActivity(), VideoReformatter(), []
    with open_source(clip) as source:
        for frame in source:
            drawn.append(draw_planes(planes_of_frame(frame, reformatter), recent(stream.process(frame))))
            if len(drawn) == count:
                break
    return drawn


def encode(pictures: list[Planes], way: str, quality: int, rounds: int) -> tuple[int, float, float]:
    """Bytes, luma PSNR in dB, and milliseconds of processor time per frame."""
    kind, further = WAYS[way]
    best, data = np.inf, b""
    for _ in range(rounds):
        file, spent = io.BytesIO(), 0.0
        with av.open(file, "w", format="matroska") as output:
            wanted = {"preset": way.split(",")[0], "bf": "0", kind: str(quality), "threads": "1", **further}
            stream = output.add_stream("libx264", rate=25, options=wanted)
            stream.height, stream.width = pictures[0].luma.shape
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = 50
            for number, picture in enumerate(pictures):
                frame = frame_of_planes(picture)
                frame.pts = number
                begin = time.process_time()
                packets = stream.encode(frame)
                spent += time.process_time() - begin
                output.mux(packets)
            begin = time.process_time()
            packets = stream.encode(None)
            spent += time.process_time() - begin
            output.mux(packets)
        best, data = min(best, 1e3 * spent / len(pictures)), file.getvalue()
    with av.open(io.BytesIO(data)) as coded:
        frames = zip(coded.decode(video=0), pictures, strict=True)
        psnr = float(np.mean([cv2.PSNR(np.ascontiguousarray(views(frame)[0]), picture.luma) for frame, picture in frames]))
    return len(data), psnr, best


def main() -> None:
    """Measure all clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--max-frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    add_write_option(parser)
    options = parser.parse_args()
    with ResultTable("encoder", COLUMNS, options.write) as table:
        for clip in options.clips:
            pictures = drawn_frames(clip, options.max_frames)
            size, psnr, _ = encode(pictures, *REFERENCE, 1)
            for way in WAYS:
                sizes, reached, costs = zip(*(encode(pictures, way, quality, options.rounds) for quality in QUALITIES), strict=True)
                # PSNR falls with crf; np.interp wants it to rise.
                at = float(np.interp(-psnr, [-one for one in reached], QUALITIES))
                equal = float(np.exp(np.interp(at, QUALITIES, np.log(sizes))))
                cost = float(np.interp(at, QUALITIES, costs))
                table.row(f"{Path(clip).parent.name}/{Path(clip).stem}", way, f"{at:.1f}", f"{equal / size:.2f}×", f"{cost:.1f}")


if __name__ == "__main__":
    main()
