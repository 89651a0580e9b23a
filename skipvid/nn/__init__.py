"""The paper's module for PyTorch: convolutions that compute only what changed since the last frame.

Habibian, Abati, Cohen, Bejnordi: Skip-Convolutions for Efficient Video Processing, CVPR 2021 (arXiv 2104.11487); "paper" in these files.

    layer = SkipConv2d(16, 32, 3, padding=1, gate=NormGate(0.03))     # all arguments of Conv2d, and a gate
    z = layer(frame)                                                  # streaming: (N, 16, H, W), state in the layer
    z = layer(clip)                                                   # training: (N, T, 16, H, W), differentiable through time

    net, report = convert_modules(net, gate=GumbelGate())             # a whole network
    loss = task_loss(run_clip(net, clip)) + beta * sparsity_loss(net)

    net, report = convert_adaptive(net)                               # channels by what a frame shows: skipvid.nn.adaptive

The skip layers compute densely and take over what the gates opened: they are for research and training, and say what could be saved.
The speed is in skipvid.convert and its back ends.
"""

from __future__ import annotations

from skipvid.nn.adaptive import AdaptiveConv2d
from skipvid.nn.adaptive_convert import adaptive_layers, convert_adaptive
from skipvid.nn.adaptive_policy import FixedPolicy, LearnedPolicy, Policy, RandomPolicy
from skipvid.nn.base import SkipLayer
from skipvid.nn.convert import ModuleReport, convert_modules
from skipvid.nn.cost import Cost, ModelCost
from skipvid.nn.gates import Decision, Gate, NormGate, Site
from skipvid.nn.gumbel import GumbelGate
from skipvid.nn.layers import SkipConv2d, SkipConvTranspose2d, SkipLinear
from skipvid.nn.model import macs, reset, run_clip, skip_layers, sparsity_loss
from skipvid.nn.window import Window

__all__ = [
    "AdaptiveConv2d",
    "Cost",
    "Decision",
    "FixedPolicy",
    "Gate",
    "GumbelGate",
    "LearnedPolicy",
    "ModelCost",
    "ModuleReport",
    "NormGate",
    "Policy",
    "RandomPolicy",
    "Site",
    "SkipConv2d",
    "SkipConvTranspose2d",
    "SkipLayer",
    "SkipLinear",
    "Window",
    "adaptive_layers",
    "convert_adaptive",
    "convert_modules",
    "macs",
    "reset",
    "run_clip",
    "skip_layers",
    "sparsity_loss",
]
