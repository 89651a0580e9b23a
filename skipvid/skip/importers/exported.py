"""From what torch.export returns to a graph. What depends on no input is computed here once (BiFPN's fusion weights, shape arithmetic)."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node as FxNode

from skipvid.core.errors import BackendError
from skipvid.skip.importers.adaptive import ADAPTIVE
from skipvid.skip.importers.arithmetic import BINARY, JOINING, point_by_point
from skipvid.skip.importers.checks import check_operation, check_size, exact_in_float32
from skipvid.skip.importers.element_types import CASTS, FLOATS, first_of, own_type
from skipvid.skip.importers.layers import LAYERS
from skipvid.skip.importers.tokens import tokens_as_maps
from skipvid.skip.importers.translation import Translation
from skipvid.skip.ir.graph import Graph, MapArgument, Node

aten = torch.ops.aten

IDENTITIES = {
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
}
PADS = {aten.pad.default, aten.constant_pad_nd.default}
FILLED = {aten.new_zeros.default, aten.new_ones.default, aten.new_full.default, aten.zeros_like.default, aten.ones_like.default,
          aten.full_like.default}  # fmt: skip
"""What makes a tensor of constants like a given one."""
OF_ANY_SHAPE = {aten.linear.default, aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default, aten.addcmul.default}


def import_exported(exported: ExportedProgram) -> Graph:
    """Translate an exported network. Parameters and buffers become constants of the nodes that use them; tokens become pixels of maps."""
    return tokens_as_maps(_Importer(exported).run())


class _Importer:
    def __init__(self, exported: ExportedProgram) -> None:
        self._exported, self._graph = exported, Translation()

    def run(self) -> Graph:
        signature = self._exported.graph_signature
        state = {**dict(self._exported.named_parameters()), **dict(self._exported.named_buffers()), **self._exported.constants}
        targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
        for fx in self._exported.graph.nodes:
            if fx.op == "placeholder":
                if fx.name in targets:
                    tensor = state[targets[fx.name]].detach().clone()  # folded or not, no later change of the network reaches the graph
                    self._graph.values[fx.name] = tensor
                    self._graph.paths[id(tensor)] = targets[fx.name]
                else:
                    self._graph.values[fx.name] = self._input(fx)
            elif fx.op == "get_attr":
                user = next(iter(fx.users)).target
                raise BackendError(
                    f"the network uses {user}, whose parts are programs of their own", "only plain operations can be converted"
                )
            elif fx.op == "call_function" and fx.users:  # what nobody reads is an assertion of torch's
                self._graph.values[fx.name] = self._call(fx)
        spec = self._exported.call_spec.out_spec
        if spec is None:
            raise BackendError("the network returns nothing")
        leaves = self._leaves()
        return Graph(tuple(self._graph.nodes.values()), leaves, spec, self._other_floats())

    def _leaves(self) -> tuple[Any, ...]:
        """What the network returns; an exported network also returns what it changed in place, which is of no use to a caller of ours."""
        signature = self._exported.graph_signature
        if signature.buffers_to_mutate:
            names = ", ".join(sorted(signature.buffers_to_mutate.values()))
            raise BackendError(f"the network changes its buffers while it runs: {names}", "convert a network without memory, in eval mode")
        result = next(fx for fx in self._exported.graph.nodes if fx.op == "output")
        specs = zip(signature.output_specs, result.args[0], strict=True)
        leaves = tuple(leaf for spec, leaf in specs if spec.kind is OutputKind.USER_OUTPUT)
        if any(isinstance(leaf, str) for leaf in leaves):
            raise BackendError("the network returns text", "return tensors and numbers only")
        return tuple(self._returned(leaf) for leaf in leaves)

    def _other_floats(self) -> tuple[str, ...]:
        types = {getattr(first_of(fx.meta.get("val")), "dtype", None) for fx in self._exported.graph.nodes}
        return tuple(sorted(str(dtype).removeprefix("torch.") for dtype in types & (FLOATS - {torch.float32})))

    def _input(self, fx: FxNode) -> str:
        """An input; bytes that are only ever turned into floating-point numbers are such numbers from the start."""
        dtype = fx.meta["val"].dtype
        as_float = dtype in FLOATS or (exact_in_float32(dtype) and all(_reads_as_float(user, fx) for user in fx.users))
        own = torch.float32 if as_float else dtype
        return self._graph.emit(fx, "input", (), attrs={"given": dtype}, dtype=own)

    def _returned(self, leaf: Any) -> Any:
        value = self._graph.value(leaf)
        if not isinstance(value, str):
            return value
        dtype = leaf.meta["val"].dtype
        if dtype == self._graph.nodes[value].dtype:
            return value
        name = f"{value}_as_{str(dtype).removeprefix('torch.')}"
        attrs = {"target": aten.to.dtype, "args": (MapArgument(0), dtype), "kwargs": {}, "item": None}
        return self._graph.add(Node(name, "aten", (value,), self._graph.nodes[value].shape, attrs, dtype=dtype))

    def _call(self, fx: FxNode) -> Any:
        check_operation(fx)
        if self._is_identity(fx):
            return self._graph.value(fx.args[0])
        if fx.target in FILLED:
            return self._filled(fx)
        if not any(self._graph.is_map(item) for item in fx.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), lambda item: self._graph.values[item.name])
            target: Any = fx.target
            return target(*args, **kwargs)
        if fx.target is operator.getitem:
            return self._getitem(fx)
        check_size(fx)
        if not self._graph.is_float(fx):
            return self._graph.aten(fx)
        written = point_by_point(self._graph, fx)
        if written is not None:
            return written
        handler = LAYERS.get(fx.target) or JOINING.get(fx.target)
        fits = _is_batch_one(fx) or fx.target in OF_ANY_SHAPE or fx.target is ADAPTIVE
        return handler(self._graph, fx) if handler is not None and fits else self._graph.aten(fx)

    def _filled(self, fx: FxNode) -> Tensor:
        """A tensor that has its shape and type from another one, and no number."""
        val = fx.meta["val"]
        like = torch.zeros(val.shape, dtype=val.dtype, device="cpu")
        target: Any = fx.target
        args, kwargs = torch.fx.node.map_arg((fx.args[1:], fx.kwargs), lambda item: self._graph.values[item.name])
        result: Tensor = target(like, *args, **kwargs)
        return result

    def _is_identity(self, fx: FxNode) -> bool:
        if not (fx.args and self._graph.is_map(fx.args[0])):
            return False
        if fx.target is aten.dropout.default:
            return fx.args[2] is False or bool(fx.args[1] == 0)
        if fx.target in PADS:
            amounts: Any = fx.args[1]
            return not any(amounts)
        own = self._graph.nodes[self._graph.value(fx.args[0])].dtype
        return fx.target in IDENTITIES or (fx.target in CASTS and own_type(fx.meta["val"]) == own)

    def _getitem(self, fx: FxNode) -> str:
        source: Any = fx.args[0]
        node = self._graph.nodes[self._graph.value(source)]
        if node.op != "aten" or node.attrs["target"] is not source.target:  # a norm, a pool: its first result alone is wanted
            return node.name
        # One dense call per part of a tuple that is used: rare, and it keeps every value a single tensor.
        attrs = {**node.attrs, "item": fx.args[1]}
        check_size(fx)
        value = fx.meta["val"]
        return self._graph.add(Node(fx.name, "aten", node.inputs, tuple(value.shape), attrs, dtype=own_type(value)))


def _is_batch_one(fx: FxNode) -> bool:
    shape = first_of(fx.meta["val"]).shape
    return len(shape) in (2, 4) and shape[0] == 1


def _reads_as_float(user: FxNode, source: FxNode) -> bool:
    """Whether an operation turns an integer input into floating-point numbers before it does anything else."""
    if own_type(user.meta.get("val")) != torch.float32 or user.all_input_nodes != [source]:
        return False
    return user.target in CASTS or (user.target in BINARY and isinstance(user.args[1], int | float))
