"""Feeds spoiled files to skipvid: no hang, no crash, no traceback, the right exit code, nothing left behind.

    python tools/fuzz.py                                   500 videos, 300 each of presets, settings, weights, labels, programs
    python tools/fuzz.py --seed 7 --videos 30 --others 30
    python tools/fuzz.py --seed 7 --only video:123         one case, with its output

The same seed gives the same cases everywhere. Cases run inside worker processes, which are watched: one that says nothing for --limit
seconds, or dies, has found a fault, and another goes on behind it. Exits with 1 where a fault was found; the inputs that did are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from fuzz_inputs import MAKERS, SPOILERS

from skipvid.cli.app import run
from skipvid.core.errors import SkipvidError
from skipvid.core.results import Detections, FrameResult
from skipvid.evaluate.coco import read_coco
from skipvid.evaluate.mot import read_mot
from skipvid.models import build_model, load_weights
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu import file
from skipvid.skip.cpu._native import State, ThreadPool
from skipvid.skip.gates.learned import load_gates
from skipvid.tasks.engine import Engine
from skipvid.train import readers

MEMORY = 16 << 30
"""Bytes of address space: a header that lies about a size must not take the machine down."""


class StandIn(Engine):
    """In place of a network, which is not what is tried: one box in every frame, no time. It has all else that engines have."""

    backend = "none"
    weights_sha256 = "0" * 64
    categories = {1: "person"}
    notes = problems = ()
    model = SimpleNamespace(config=SkipConfig(gate="none"), precision="f32")

    def __init__(self) -> None:
        self.preset = load_preset("efficientdet-nano")

    def networks(self, height: int, width: int) -> list[Any]:
        return []

    def stream(self, dense_every: int = 0) -> StandIn:
        return self

    def dense_stream(self) -> StandIn:
        return self

    def look_ahead(self, frame: Any) -> None:
        """Scale the picture, as a network's stream does."""
        if not isinstance(frame.picture, np.ndarray):
            frame.picture.scaled(32, 32)

    def process(self, frame: Any) -> FrameResult:
        box = np.array([[1, 1, frame.width - 1, frame.height - 1]], np.float32)
        found = Detections(box, np.array([0.9], np.float32), np.array([1]), ("person",))
        return FrameResult(frame, found, True, {"decode": frame.decode_ms, "model": 0.0})


def command(words: list[str], codes: set[int]) -> tuple[int, str]:
    """Run a command in this process. Returns its exit code, and what is wrong with it, or ""."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    said = err.getvalue()
    if code not in codes:
        return code, f"exit code {code}: {said.strip()[:400]}"
    if "Traceback" in said or "internal error" in said:
        return code, f"a traceback: {said.strip()[:400]}"
    if code and len(said.strip().splitlines()) != 1:
        return code, f"not one line: {said.strip()[:400]}"
    return code, ""


def check_video(path: Path) -> str:
    """Exit 0 with outputs that can be read, or 3 with none."""
    outputs = ["o.mp4", "o.jsonl", "o.csv", "o.coco.json"]
    words = ["detect", str(path), *(word for output in outputs for word in ("-o", output)), "--csv", "cost.csv", "-q", "--max-frames", "40"]
    code, fault = quiet_command(words, {0, 3})
    left = sorted(file.name for file in Path().iterdir() if file.name != path.name)
    if fault or code:
        return fault or (f"left behind: {left}" if left else "")
    frames = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    json.loads(Path("o.coco.json").read_text())
    with av.open("o.mp4") as container:
        shown = sum(1 for _ in container.decode(container.streams.video[0]))
    if left != sorted([*outputs, "cost.csv"]) or frames[-1]["type"] != "summary" or shown != len(frames) - 2:
        return f"{left}, {len(frames) - 2} frames in o.jsonl, {shown} in o.mp4"
    return ""


def quiet_command(words: list[str], codes: set[int]) -> tuple[int, str]:
    """command, where warnings (of damage, say) may stand before the error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    said = err.getvalue()
    errors = [line for line in said.splitlines() if not line.startswith("skipvid: warning: ")]
    if code not in codes or "Traceback" in said or "internal error" in said or (code and len(errors) != 1):
        return code, f"exit code {code}: {said.strip()[:400]}"
    return code, ""


def check_preset(path: Path) -> str:
    return command(["presets", "show", str(path.rename(path.with_suffix(".yaml")))], {0, 4})[1]


def check_settings(path: Path) -> str:
    shutil.copy(SEEDS / "video" / "silent.mp4", "clip.mp4")
    code, fault = quiet_command(["detect", "clip.mp4", "--config", str(path), "-o", "o.csv"], {0, 2, 3, 4, 5, 6})
    parts = [file.name for file in Path().iterdir() if file.name.endswith(".part")]
    return fault or (f"left behind: {parts}" if parts else "")


def check_weights(path: Path) -> str:
    return only_own_errors(lambda: load_weights(NETWORK, path)) or only_own_errors(lambda: load_gates(path))


def check_labels(path: Path) -> str:
    if path.suffix == ".txt":
        return only_own_errors(lambda: read_mot(path, "gt")) or only_own_errors(lambda: readers.read_mot(path))
    return only_own_errors(lambda: read_coco(path, "gt.mp4")) or only_own_errors(lambda: list(readers.read_coco(path, Path(), "gt")))


def check_program(path: Path) -> str:
    return only_own_errors(lambda: run_program(path))


def run_program(path: Path) -> None:
    """Three frames on what a file describes. What does not fit is refused with ValueError where it crosses into C++."""
    kept = file.read(path)
    program = kept.build(POOL)
    shapes = [tensor.shape for tensor in kept.inputs]
    if any(not 0 < math.prod(shape) < 1 << 20 or min(shape) < 1 for shape in shapes):
        return
    state = State(program, False)
    for number in range(3):
        inputs = [np.random.default_rng(number).random(shape, np.float32)[0] for shape in shapes]
        for segment in kept.segments:
            try:
                program.run(state, inputs, segment, number == 0, True)
            except (ValueError, TypeError, IndexError, OverflowError):
                return


def only_own_errors(work: Callable[[], object]) -> str:
    """What else a function raised than an error of one clear line, or ""."""
    try:
        work()
    except SkipvidError as error:
        return "" if len(str(error).splitlines()) == 1 else f"not one line: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error} at {traceback.extract_tb(error.__traceback__)[-1]}"
    return ""


CHECKS: dict[str, Callable[[Path], str]] = {
    "video": check_video,
    "preset": check_preset,
    "settings": check_settings,
    "weights": check_weights,
    "labels": check_labels,
    "program": check_program,
}


def make_case(kind: str, number: int, seed: int, folder: Path) -> Path:
    """The spoiled file of a case, in a folder of its own."""
    draw = random.Random(f"{seed}:{kind}:{number}")
    source = draw.choice(sorted(path for path in (SEEDS / kind).iterdir()))
    suffix = (
        draw.choice(sorted({path.suffix for path in (SEEDS / kind).iterdir()}))
        if kind == "video" and draw.random() < 0.15
        else source.suffix
    )
    path = folder / f"{source.stem}{suffix}"
    path.write_bytes(SPOILERS[kind](source.read_bytes(), draw))
    return path


def worker(kind: str, first: int, end: int, seed: int) -> None:
    """Run cases one after the other; says "begin N" and "end N FAULT" on stdout for each."""
    if "ASAN_OPTIONS" not in os.environ:  # AddressSanitizer takes terabytes of address space
        with contextlib.suppress(ImportError):
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    said = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if kind in ("video", "settings"):
        import skipvid.cli.networks

        skipvid.cli.networks.load_detect_engine = lambda *arguments: STAND_IN  # type: ignore[assignment,return-value]
    for number in range(first, end):
        print(f"begin {number}", file=said, flush=True)
        folder = Path(tempfile.mkdtemp(dir=SEEDS.parent / "cases"))
        os.chdir(folder)
        path = make_case(kind, number, seed, folder)
        kept = path.read_bytes()
        try:
            fault = CHECKS[kind](path)
        except Exception:
            fault = traceback.format_exc()
        if fault:
            (SEEDS.parent / "faults" / f"{kind}-{number}-{path.name}").write_bytes(kept)
        os.chdir(SEEDS.parent)
        shutil.rmtree(folder)
        print(f"end {number} {json.dumps(fault)}", file=said, flush=True)


def watch(kind: str, first: int, end: int, options: argparse.Namespace, place: Path) -> dict[int, str]:
    """Run the cases of a kind in workers. Returns the faults by number."""
    faults: dict[int, str] = {}
    while first < end:
        words = [sys.executable, __file__, "--worker", f"{kind}:{first}:{end}", "--seed", str(options.seed), "--place", str(place)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        lines: queue.Queue[str | None] = queue.Queue()
        noise: list[str | None] = []
        threading.Thread(target=_pass_on, args=(process.stdout, lines.put), daemon=True).start()
        threading.Thread(target=_pass_on, args=(process.stderr, noise.append), daemon=True).start()
        current, limit = first, 120.0  # the first word comes after all imports
        while True:
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                process.kill()
                faults[current] = f"no answer within {limit:g} s"
                break
            limit = options.limit
            if line is None:
                break
            word, number, *rest = line.split(" ", 2)
            current = int(number)
            if word == "end":
                first = current + 1
                if fault := json.loads(rest[0]):
                    faults[current] = fault
        code = process.wait()
        if code and current not in faults:
            faults[current] = f"the process ended with {code}: {''.join(line or '' for line in noise)[-600:]}"
        if first < end:
            first = current + 1
    return faults


def _pass_on(stream: Any, put: Callable[[str | None], object]) -> None:
    for line in stream:
        put(line)
    put(None)


def main() -> int:
    kinds = list(CHECKS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=500, metavar="N")
    parser.add_argument("--others", type=int, default=300, metavar="N", help=f"of each of: {', '.join(kinds[1:])}")
    parser.add_argument("--limit", type=float, default=60, metavar="S", help="seconds that a case may take")
    parser.add_argument("--kind", action="append", choices=kinds, help="these kinds alone")
    parser.add_argument("--only", metavar="KIND:N", help="one case")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    place = options.place or Path(tempfile.mkdtemp(prefix="skipvid-fuzz-"))
    global SEEDS, STAND_IN, NETWORK
    SEEDS = place / "good"
    if options.worker:
        kind, first, end = options.worker.split(":")
        STAND_IN = StandIn() if kind in ("video", "settings") else None
        NETWORK = build_model("efficientdet-nano") if kind == "weights" else None
        worker(kind, int(first), int(end), options.seed)
        return 0
    for name in ("cases", "faults"):
        (place / name).mkdir()
    for kind, make in MAKERS.items():
        (SEEDS / kind).mkdir(parents=True)
        for path in make(SEEDS / kind):
            if path.parent != SEEDS / kind:
                shutil.copy(path, SEEDS / kind)
    total = 0
    ranges = {kind: (0, options.videos if kind == "video" else options.others) for kind in options.kind or kinds}
    if options.only:
        kind, number = options.only.split(":")
        ranges = {kind: (int(number), int(number) + 1)}
    for kind, (first, end) in ranges.items():
        faults = watch(kind, first, end, options, place)
        print(f"{kind}: {end - first} cases from {len(list((SEEDS / kind).iterdir()))} good files, {len(faults)} faults", flush=True)
        for number, fault in sorted(faults.items()):
            print(f"  {kind}:{number}: {fault}", flush=True)
        total += len(faults)
    left = list((place / "cases").iterdir())
    if total or options.only:
        print(f"what found a fault lies in {place / 'faults'}; left of hung or crashed cases: {len(left)}")
    else:
        shutil.rmtree(place)
    return 1 if total else 0


SEEDS = Path()
STAND_IN: Any = None
NETWORK: Any = None
POOL = ThreadPool(1)

if __name__ == "__main__":
    sys.exit(main())
