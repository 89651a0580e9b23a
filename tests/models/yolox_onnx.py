"""YOLOX-Nano's weights from an ONNX file, under the names that upstream's checkpoints have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skipvid.models import build_model


def state_from_onnx(path: Path) -> dict[str, Tensor]:
    """A state dict. The export folded every BatchNorm and numbered convolutions as they run: a run of our network tells their names."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    values = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    folded = [tuple(values[name] for name in node.input[1:3]) for node in graph.node if node.op_type == "Conv"]
    net = build_model("yolox_nano")
    state = net.state_dict()
    for name, (weight, bias) in zip(convolutions_in_order(net), folded, strict=True):
        assert state[f"{name}.weight"].shape == weight.shape, name
        state[f"{name}.weight"] = weight
        if f"{name}.bias" in state:
            state[f"{name}.bias"] = bias
            continue
        norm = f"{name.removesuffix('.conv')}.bn"
        state[f"{norm}.bias"] = bias
        state[f"{norm}.weight"] = (state[f"{norm}.running_var"] + 1e-3).sqrt()  # so that it only adds the bias
    return state


def convolutions_in_order(net: nn.Module) -> list[str]:
    """Names of a network's convolutions in the order in which they run. The stem's is not called as a module: it comes first."""
    order = [name for name, module in net.named_modules() if name.endswith("stem.conv.conv") and isinstance(module, nn.Conv2d)]
    hooks = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(lambda _module, _inputs, name=name: order.append(name)))
    with torch.inference_mode():
        net(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return order


def onnx_runner(path: Path) -> Any:
    """From (1, 3, 416, 416) float32 to the file's raw output, (3549, 85): box terms, objectness and class scores of every cell."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0][0]
