"""How many frames a second `skipvid detect` does as a whole, with gates and without: decoding, network, drawing and encoding included.

    python benchmarks/pipeline.py CLIP... [--max-frames 150] [--threads N] [--rounds 2] [--write]

Runs the command itself in processes of its own, with and without gates by turns, once with JSON lines as the only output and once with an
annotated video besides. Frames per second are the command's own, from the first frame asked for to the last one written; of the rounds the
fastest counts. Processor time is that of all threads of the process, less that of a run of one frame, per frame: what a frame costs
where other work keeps the cores busy, and of the rounds the least counts. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tables import ResultTable, add_write_option

RUN = "from skipvid.cli.app import cli; cli()"
GATES = ("norm", "none")
COLUMNS = (
    *("clip", "fewer MACs", "model ms", "without gates"),
    *("JSON lines: fps", "without gates", "processor ms", "without gates"),
    *("and video: fps", "without gates", "processor ms", "without gates"),
)


def detect(clip: str, arguments: list[str], outputs: list[Path], max_frames: int, threads: int | None) -> dict[str, Any]:
    """What one run of the command with these arguments says of itself, and "processor_seconds" of the whole process."""
    command = [sys.executable, "-c", RUN, "detect", clip, *arguments, "--max-frames", str(max_frames)]
    command += ["--json", "--offline", "--overwrite"]
    for output in outputs:
        command += ["-o", str(output)]
    if threads is not None:
        command += ["--threads", str(threads)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run: dict[str, Any] = json.loads(finished.stdout)["runs"][0]
    run["processor_seconds"] = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return run


def processor_ms(runs: list[dict[str, Any]], starts: list[dict[str, Any]]) -> float:
    """Processor time of one frame: starts are the same runs of one frame each."""
    least, start = (min(found, key=lambda run: run["processor_seconds"]) for found in (runs, starts))
    return 1e3 * float(least["processor_seconds"] - start["processor_seconds"]) / max(least["frames"] - start["frames"], 1)


def main() -> None:
    """Measure all clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--max-frames", type=int, default=150)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=2)
    add_write_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ResultTable("pipeline", COLUMNS, options.write) as table:
        lines, video = Path(folder, "out.jsonl"), Path(folder, "out.mp4")
        for clip in options.clips:
            runs: dict[tuple[str, bool], list[dict[str, Any]]] = {}
            starts: dict[tuple[str, bool], list[dict[str, Any]]] = {}
            for _ in range(options.rounds):
                for with_video in (False, True):
                    for gate in GATES:
                        outputs = [lines, video] if with_video else [lines]
                        for found, frames in ((starts, 1), (runs, options.max_frames)):
                            run = detect(clip, ["--gate", gate], outputs, frames, options.threads)
                            found.setdefault((gate, with_video), []).append(run)
            model = {gate: min(run["median_ms"]["model"] for run in runs[gate, False]) for gate in GATES}
            fps = {key: max(run["fps"] for run in found) for key, found in runs.items()}
            cost = runs["norm", False][0]["cost"]
            cells = [f"{cost['dense_macs'] / max(cost['macs'], 1):.2f}×", *(f"{model[gate]:.1f}" for gate in GATES)]
            for with_video in (False, True):
                cells += [f"{fps[gate, with_video]:.1f}" for gate in GATES]
                cells += [f"{processor_ms(runs[gate, with_video], starts[gate, with_video]):.1f}" for gate in GATES]
            table.row(f"{Path(clip).parent.name}/{Path(clip).stem}", *cells)


if __name__ == "__main__":
    main()
