"""Does a training succeed with every seed, however the machine rounds? A table of seeds and kinds of arithmetic, one grade each.

    python benchmarks/training_seeds.py [--task detector] [--task pose] [--seeds 10] [--only NAME]...

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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

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


def sweep(task: str, names: list[str], seeds: int, say: Callable[[str], None]) -> bool:
    """Print the table of a task; returns whether all passed."""
    print(f"| {task}, seed | " + " | ".join(map(str, range(seeds))) + " |", "|---" * (seeds + 1) + "|", sep="\n", flush=True)
    passed = True
    for name in names:
        grades = []
        for seed in range(seeds):
            call = [sys.executable, __file__, "--one", json.dumps([task, name, seed])]
            environment = {**os.environ, **KINDS[name].environment}
            done = subprocess.run(call, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{task}, {name}, seed {seed}:\n{done.stderr}")
            grades.append(float(done.stdout.split()[-1]))
            say(f"{task}, {name}, seed {seed}: {grades[-1]:.2f}")
        print(f"| {name} | " + " | ".join(f"{grade:.2f}" for grade in grades) + " |", flush=True)
        passed = passed and min(grades) > PASSES[task]
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=list(PASSES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", action="append", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        task, name, seed = json.loads(arguments.one)
        print(learn(task, KINDS[name], seed))
        return 0
    results = [
        sweep(task, arguments.only or list(KINDS), arguments.seeds, lambda line: print(line, file=sys.stderr, flush=True))
        for task in arguments.task or PASSES
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
