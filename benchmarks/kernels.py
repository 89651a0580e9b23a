"""How fast are the native kernels? Single layers of real networks, all pixels active and few of them, against PyTorch's dense layer.

    python benchmarks/kernels.py [--rounds 9] [--instruction-set avx2] [--only REGEX]

One thread, processor time, medians of interleaved rounds: such numbers hold also on a busy machine. For each layer: GFLOP/s with all
pixels active and its share of the peak (measured: multiply-adds in registers), PyTorch's time (channels last) over ours, and for a
square patch of changed input pixels our own dense time over the patch's time, next to the reduction in computed outputs.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tables import ResultTable, add_write_option
from torch import Tensor
from torch.utils._pytree import tree_structure

from skipvid.skip.cpu import _native
from skipvid.skip.cpu.backend import _pool
from skipvid.skip.cpu.lowering import lower
from skipvid.skip.cpu.rows import SegmentRow
from skipvid.skip.gates.base import GatedGraph
from skipvid.skip.ir.graph import Activation, Graph, Node
from skipvid.skip.ir.precision import round_weights
from skipvid.skip.plan import make_plan

SHARES = (0.5, 0.25, 0.1, 0.02)


@dataclass(frozen=True)
class Layer:
    """inputs, outputs: channels. size: (height, width) of the input."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    size: tuple[int, int]
    activation: str | None = None


LAYERS = (
    Layer("stem", 3, 32, 3, 2, 1, (512, 512), "silu"),
    Layer("d0 expand 1", 16, 96, 1, 1, 1, (256, 256), "silu"),
    Layer("d0 project 2", 144, 24, 1, 1, 1, (128, 128)),
    Layer("d0 expand 3", 40, 240, 1, 1, 1, (64, 64), "silu"),
    Layer("d0 project 5", 672, 112, 1, 1, 1, (32, 32)),
    Layer("d0 expand 6", 192, 1152, 1, 1, 1, (16, 16), "silu"),
    Layer("d0 project 7", 1152, 320, 1, 1, 1, (16, 16)),
    Layer("d0 bifpn", 64, 64, 1, 1, 1, (64, 64)),
    Layer("d0 classes", 64, 810, 1, 1, 1, (64, 64)),
    Layer("d0 depthwise 3", 96, 96, 3, 2, 96, (256, 256), "silu"),
    Layer("d0 depthwise 3", 144, 144, 3, 1, 144, (128, 128), "silu"),
    Layer("d0 depthwise 5", 240, 240, 5, 1, 240, (64, 64), "silu"),
    Layer("d0 depthwise 5", 1152, 1152, 5, 1, 1152, (16, 16), "silu"),
    Layer("hrnet stem", 64, 64, 3, 2, 1, (128, 96), "relu"),
    Layer("hrnet 32", 32, 32, 3, 1, 1, (64, 48), "relu"),
    Layer("hrnet 64", 64, 64, 3, 1, 1, (32, 24), "relu"),
    Layer("hrnet 128", 128, 128, 3, 1, 1, (16, 12), "relu"),
    Layer("hrnet 256", 256, 256, 3, 1, 1, (8, 6), "relu"),
)


class Bench:
    """One layer on the native kernels and in PyTorch."""

    def __init__(self, layer: Layer, precision: str, instruction_set: str) -> None:
        torch.manual_seed(0)
        self.layer = layer
        pad = layer.kernel // 2
        self.conv = torch.nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, layer.stride, pad, groups=layer.groups).eval()
        attrs = {"stride": (layer.stride,) * 2, "pads": (pad,) * 4, "dilation": (1, 1), "groups": layer.groups}
        consts = {"weight": self.conv.weight.detach(), "bias": self.conv.bias.detach()}
        x = torch.randn(1, layer.inputs, *layer.size)
        self.x = x.to(memory_format=torch.channels_last)
        self.conv = self.conv.to(memory_format=torch.channels_last)
        activation = Activation(layer.activation) if layer.activation else None
        shape = tuple(self.conv(self.x).shape)
        nodes = (Node("x", "input", (), tuple(x.shape)), Node("y", "conv", ("x",), shape, attrs, consts, activation))
        graph = Graph(nodes, ("y",), tree_structure(0))
        plan = make_plan(GatedGraph(round_weights(graph) if precision == "bf16" else graph), precision)
        self.macs, self.outputs = plan.dense_macs, shape[2] * shape[3]
        description = lower(plan).description
        description.segments[:] = [SegmentRow(0, 1), SegmentRow(1, 2)]  # the input, and the layer alone
        self.program = _native.Program(description.to_bytes(), _pool(1), instruction_set)
        self.state = _native.State(self.program, False)
        for segment in range(2):
            self.program.run(self.state, [x[0].numpy()], segment, True, True)

    def torch(self) -> Tensor:
        y = self.conv(self.x)
        return y if self.layer.activation is None else getattr(torch.nn.functional, self.layer.activation)(y)

    def dense(self) -> None:
        self.program.run(self.state, [], 1, True, True)

    def patch(self, share: float) -> Callable[[], None]:
        """A frame in which a square of this share of the input pixels changed; nothing but the layer is run."""
        height, width = self.layer.size
        mask = np.zeros(self.layer.size, bool)
        tall, wide = (max(1, round(extent * share**0.5)) for extent in self.layer.size)
        top, left = (height - tall) // 3, (width - wide) // 3
        mask[top : top + tall, left : left + wide] = True

        def run() -> None:
            self.state.set_changed(0, mask)
            self.program.run(self.state, [], 1, False, True)

        return run


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call, from enough calls to be measurable."""
    calls, spent = 1, 0.0
    while True:
        start = time.process_time()
        for _ in range(calls):
            call()
        spent = time.process_time() - start
        if spent > 0.004:
            return spent / calls
        calls *= 4


def peak(instruction_set: str) -> float:
    """Floating-point operations per second of one core, at best."""

    def once() -> float:
        start = time.process_time()
        return _native.exercise(instruction_set, 2_000_000) / (time.process_time() - start)

    return max(once() for _ in range(9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    sets = {"f32": _native.instruction_sets(), "bf16": _native.instruction_sets(_native.Element.BF16)}
    parser.add_argument("--precision", default="f32", choices=list(sets))
    parser.add_argument("--instruction-set", help=f"one of {', '.join(sets['bf16'])}; default: the fastest")
    parser.add_argument("--only", default="", help="layers whose name matches")
    add_write_option(parser)
    options = parser.parse_args()
    options.instruction_set = options.instruction_set or sets[options.precision][0]
    if options.instruction_set not in sets[options.precision]:
        parser.error(f"this processor has no kernels of {options.instruction_set} for {options.precision}")
    torch.set_num_threads(1)
    best = peak(options.instruction_set)
    kernels = f"{options.precision} on {options.instruction_set}"
    note = f"{kernels}, one thread, processor time; peak, by multiply-adds in registers: {best / 1e9:.0f} GFLOP/s."
    columns = ("layer", "shape", "ms", "GFLOP/s", "of peak", "PyTorch/ours", *(f"{share:.0%} changed" for share in SHARES))
    with ResultTable("kernels", columns, options.write, note) as table:
        _measure_all(options, best, table)


@torch.no_grad()
def _measure_all(options: argparse.Namespace, best: float, table: ResultTable) -> None:
    """A row for each layer."""
    for layer in LAYERS:
        if not re.search(options.only, layer.name):
            continue
        bench = Bench(layer, options.precision, options.instruction_set)
        calls: dict[str, Callable[[], object]] = {"torch": bench.torch, "dense": bench.dense}
        calls |= {str(share): bench.patch(share) for share in SHARES}
        times: dict[str, list[float]] = {name: [] for name in calls}
        reduction: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, call in calls.items():
                times[name].append(seconds(call))
                reduction[name] = bench.outputs / max(1, int(bench.state.counts()[1]))
        median = {name: statistics.median(values) for name, values in times.items()}
        rate = 2 * bench.macs / median["dense"]
        kind = f"{layer.inputs}>{layer.outputs} {layer.kernel}x{layer.kernel}/{layer.stride}{' dw' if layer.groups > 1 else ''}"
        row = [
            layer.name,
            f"{kind} {layer.size[0]}x{layer.size[1]}",
            f"{median['dense'] * 1e3:.2f}",
            f"{rate / 1e9:.0f}",
            f"{rate / best:.0%}",
        ]
        row.append(f"{median['torch'] / median['dense']:.2f}")
        row += [f"{median['dense'] / median[str(share)]:.1f} of {reduction[str(share)]:.1f}" for share in SHARES]
        table.row(*row)


if __name__ == "__main__":
    main()
