"""What a caller gives `convert`: checked, and made our own."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from skipvid.core.errors import BackendError, UsageError
from skipvid.nn.adaptive_convert import adaptive_layers
from skipvid.nn.adaptive_policy import FixedPolicy, LearnedPolicy


def check_examples(example: Any) -> tuple[Tensor, ...]:
    """The inputs that `convert` is given, as a tuple of tensors. Raises UsageError where they are anything else."""
    examples = example if isinstance(example, tuple) else (example,)
    if not examples:
        raise UsageError("the example has no inputs", "pass a tensor of the size of a frame, e.g. torch.zeros(1, 3, 640, 640)")
    for number, item in enumerate(examples, 1):
        if not isinstance(item, Tensor):
            kind, which = type(item).__name__, "the example" if len(examples) == 1 else f"input {number} of the example"
            hint = "pass a tensor, or a tuple of tensors, e.g. torch.zeros(1, 3, 640, 640)"
            if isinstance(item, int | float):
                hint = "pass a tensor of shape (1,), or a network that has the number built in"
            raise UsageError(f"{which} is a {kind}, not a tensor", hint)
        if item.layout != torch.strided or item.is_quantized:
            raise UsageError(f"input {number} of the example is no dense tensor", "pass an ordinary tensor, e.g. item.to_dense()")
    return examples


def module_of(net: Any) -> nn.Module:
    """The network itself, out of what wraps it. Raises UsageError for what is no network."""
    if isinstance(net, ExportedProgram):
        return net.module()
    original = getattr(net, "_orig_mod", None)  # of torch.compile
    if isinstance(original, nn.Module):
        net = original
    if isinstance(net, torch.jit.ScriptModule):
        raise UsageError("the network is a TorchScript program", "pass the torch.nn.Module that it was made of")
    if not isinstance(net, nn.Module):
        kind = net.__name__ if isinstance(net, type) else type(net).__name__
        hint = f"call it first: {kind}()" if isinstance(net, type) else "make it the forward() of a torch.nn.Module"
        raise UsageError(f"the network is a {kind}, not a torch.nn.Module", hint)
    return net


def own_copy(net: nn.Module) -> nn.Module:
    """A copy of a network in main memory: torch.export works on the object itself, which others may be using.

    Raises UsageError for one in training mode, BackendError for one without values, or with policies that only PyTorch runs.
    """
    if net.training and not isinstance(net, GraphModule):  # a traced graph has its mode built in
        raise UsageError(f"the network {type(net).__name__} is in training mode", "call its eval() first")
    for path, layer in adaptive_layers(net):
        if not isinstance(layer.policy, LearnedPolicy | FixedPolicy):
            raise BackendError(
                f"the adaptive layer {path} has a {type(layer.policy).__name__}, which cannot be converted",
                "give it a LearnedPolicy or a FixedPolicy: set_policy()",
            )
    devices = {tensor.device.type for tensor in (*net.parameters(), *net.buffers())}
    if "meta" in devices:
        raise BackendError(f"weights of the network {type(net).__name__} are on the device meta: they have no values", "load weights first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch copies exported programs by ways that it warns of itself
            copied = copy.deepcopy(net)
    except Exception:  # what cannot be copied is used as it is
        copied = net
    return copied.cpu() if devices - {"cpu"} and copied is not net else copied
