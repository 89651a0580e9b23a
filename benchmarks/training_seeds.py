"""Does a training succeed with every seed, however the machine rounds? A table of seeds and kinds of arithmetic, one grade each.

    python benchmarks/training_seeds.py [--task detector] [--task pose] [--seeds 10] [--only NAME]... [--checkpoint FILE] [--write [FILE]]

Each training learns a handful of pictures by heart (tests/train/by_heart.py), so that a good one ends near 1: AP50, or OKS. The lower of
two classes is shown. Exits with 1 where a grade is below what the tests ask for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tables import ResultTable, add_write_option

ROOT = Path(__file__).parents[1]
PASSES = {"detector": 0.75, "pose": 0.6}


@dataclass(frozen=True)
class Arithmetic:
    """environment: read by oneDNN and ATen. precision: of convolutions and products inside PyTorch. autocast: the network in bfloat16."""

    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    precision: str = "ieee"
    autocast: bool = False


KINDS = {
    "f32": Arithmetic(),
    "f32, 2 threads": Arithmetic(threads=2),
    "oneDNN avx512": Arithmetic({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "oneDNN avx2": Arithmetic({"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}),
    "oneDNN sse4.1": Arithmetic({"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}),
    "bf16 products": Arithmetic(precision="bf16"),
    "bf16 autocast": Arithmetic(autocast=True),
}


def learn(task: str, kind: Arithmetic, seed: int) -> float:
    """The grade of one training, in this process."""
    import torch

    sys.path.insert(0, str(ROOT / "tests" / "train"))
    import by_heart

    torch.set_num_threads(kind.threads)
    torch.backends.mkldnn.fp32_precision = kind.precision
    with tempfile.TemporaryDirectory() as folder:
        if task == "pose":
            return by_heart.learn_people(Path(folder), kind.autocast, seed=seed).grades["OKS"]
        # Without the cache, which would keep the first step's weights to the end of this block.
        with torch.autocast("cpu", torch.bfloat16, enabled=kind.autocast, cache_enabled=False):
            grades = by_heart.learn_pictures(Path(folder), seed=seed).grades
        return min(grades["person"], grades["car"])


class Grades:
    """What is known already, in a file that a run that was stopped goes on from: a line of JSON each, task, kind, seed and grade."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[tuple[str, str, int], float] = {}
        if path is not None:
            path.touch()
            for line in path.read_text(encoding="utf-8").splitlines():
                task, name, seed, grade = json.loads(line)
                self._known[task, name, seed] = grade

    def of(self, task: str, name: str, seed: int) -> float:
        """Measured in a process of its own: oneDNN reads its environment once."""
        key = task, name, seed
        if key not in self._known:
            call = [sys.executable, __file__, "--one", json.dumps(key)]
            done = subprocess.run(call, env={**os.environ, **KINDS[name].environment}, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{task}, {name}, seed {seed}:\n{done.stderr}")
            self._known[key] = float(done.stdout.split()[-1])
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*key, self._known[key]]) + "\n")
            print(f"{task}, {name}, seed {seed}: {self._known[key]:.2f}", file=sys.stderr, flush=True)
        return self._known[key]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=list(PASSES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", action="append", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep grades here, and go on from those that are there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    add_write_option(parser)
    arguments = parser.parse_args()
    if arguments.one:
        task, name, seed = json.loads(arguments.one)
        print(learn(task, KINDS[name], seed))
        return 0
    grades, passed = Grades(arguments.checkpoint), True
    columns = ("learns by heart", "arithmetic", *(f"seed {seed}" for seed in range(arguments.seeds)))
    with ResultTable("training-seeds", columns, arguments.write) as table:
        for task in arguments.task or PASSES:
            for name in arguments.only or KINDS:
                row = [grades.of(task, name, seed) for seed in range(arguments.seeds)]
                table.row(task, name, *(f"{grade:.2f}" for grade in row))
                passed = passed and min(row) > PASSES[task]
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
