"""The speed table: gated, dense and the other runtimes, for the networks and clips that the README speaks of.

    python benchmarks/speed.py --data DIR [--threads 2] [--threshold T] [--quick] [--write]

Runs `skipvid bench` in a process of its own for each network, so that none inherits another's threads or memory, and makes one table
of what they measured. Within a row the runtimes took turns on the same frames. Networks without bundled weights get random ones: times
do not depend on them, but for what the gates find. Needs a machine that does nothing else; --quick leaves out the other runtimes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tables import ResultTable, add_write_option

RUN = "from skipvid.cli.app import cli; cli()"
CLIPS = (
    "sequences/pets09_s2l1/vtest_480x360.avi",
    "sequences/towncentre_a/clip.mp4",
    "videos/intel/car-detection.mp4",
    "videos/intel/one-by-one-person-detection.mp4",
    "videos/moving/bikes.mp4",
)
RUNTIMES = {"torch": "PyTorch", "openvino": "OpenVINO f32", "openvino-bf16": "OpenVINO bf16"}
ACTIVITY = "0,2,10,25,100"
COLUMNS = (
    "network",
    "frames",
    "MACs saved",
    "gated ms",
    "dense ms",
    "dense/gated",
    "of the reduction",
    *(f"{name} ms" for name in RUNTIMES.values()),
)


def benchmarks(data: Path) -> list[list[str]]:
    """The arguments of each call of `skipvid bench`."""
    clips = [str(data / clip) for clip in CLIPS]
    return [
        ["--preset", "efficientdet-nano", "--activity", ACTIVITY, *clips],
        ["--preset", "tf_efficientdet_d0", "--size", "512", "--weights", "random", "--activity", ACTIVITY, "--frames", "19"],
        ["--preset", "hrnet_w32_256x192", "--weights", "random", "--activity", ACTIVITY, "--frames", "19"],
        ["--preset", "hrnet-nano", "--activity", ACTIVITY],
    ]


def bench(arguments: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """What one call of the command measured."""
    command = [
        sys.executable,
        "-c",
        RUN,
        "bench",
        *arguments,
        "--threads",
        str(options.threads),
        "--max-frames",
        "100",
        "--json",
        "--offline",
    ]
    if options.threshold is not None:
        command += ["--threshold", str(options.threshold)]
    for runtime in ["none"] if options.quick else RUNTIMES:
        command += ["--runtime", runtime]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


def cells(found: dict[str, Any]) -> list[str]:
    """The row of one measurement."""
    speedup, reduction = found["speedup"], found["reduction"]
    share = "–" if reduction is None else f"{speedup / reduction:.2f}"
    row = [f"{found['preset']} {found['width']}×{found['height']}", found["what"], f"{found['saving']:.1%}"]
    row += [f"{found['skip_ms']:.2f}", f"{found['dense_ms']:.1f}", f"{speedup:.2f}×", share]
    return row + [f"{found['runtime_ms'][name]:.1f}" if name in found["runtime_ms"] else "–" for name in RUNTIMES]


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/ and videos/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--threshold", type=float, help="instead of the presets'")
    parser.add_argument("--quick", action="store_true")
    add_write_option(parser)
    options = parser.parse_args()
    with ResultTable("speed", COLUMNS, options.write, "Medians in milliseconds; all columns of a row come from one run.") as table:
        for arguments in benchmarks(options.data):
            for found in bench(arguments, options)["measurements"]:
                table.row(*cells(found))


if __name__ == "__main__":
    main()
