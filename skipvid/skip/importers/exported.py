"""From what torch.export returns to a graph. What depends on no input is computed here once (BiFPN's fusion weights, shape arithmetic)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node as FxNode

from skipvid.core.errors import BackendError
from skipvid.skip.importers.adaptive import ADAPTIVE, adaptive_nodes
from skipvid.skip.importers.attributes import LOCAL, adaptive_pool, conv_attributes, conv_transpose_attributes
from skipvid.skip.importers.checks import check_operation, check_size, exact_in_float32
from skipvid.skip.importers.map_norms import SUM, group_norm
from skipvid.skip.importers.pointwise import WRITTEN_OUT
from skipvid.skip.importers.tokens import tokens_as_maps
from skipvid.skip.ir.graph import Activation, Graph, MapArgument, Node

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
CASTS = {aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten.type_as.default, aten._to_copy.default}
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""All computed in float32; what the network returns in another of them is cast back at the end."""
LARGEST = torch.finfo(torch.float32).max
ACTIVATIONS: dict[Any, tuple[str, tuple[float, ...]]] = {
    # target -> (kind, default parameters)
    aten.relu.default: ("relu", ()),
    aten.relu6.default: ("hardtanh", (0.0, 6.0)),
    aten.hardtanh.default: ("hardtanh", (-1.0, 1.0)),
    aten.silu.default: ("silu", ()),
    aten.sigmoid.default: ("sigmoid", ()),
    aten.tanh.default: ("tanh", ()),
    aten.hardswish.default: ("hardswish", ()),
    aten.hardsigmoid.default: ("hardsigmoid", ()),
    aten.leaky_relu.default: ("leaky_relu", (0.01,)),
    aten.elu.default: ("elu", (1.0,)),
    aten.gelu.default: ("gelu", ()),
    aten.mish.default: ("mish", ()),
    aten.softplus.default: ("softplus", (1.0, 20.0)),
    aten.exp.default: ("exp", ()),
    aten.log.default: ("log", ()),
    aten.sqrt.default: ("sqrt", ()),
    aten.rsqrt.default: ("rsqrt", ()),
    aten.reciprocal.default: ("reciprocal", ()),
    aten.erf.default: ("erf", ()),
    aten.abs.default: ("abs", ()),
    aten.clamp.default: ("hardtanh", (-math.inf, math.inf)),
    aten.clamp_min.default: ("hardtanh", (0.0, math.inf)),
}
OF_ANY_SHAPE = {aten.linear.default, aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default, aten.addcmul.default}
BINARY = {aten.add.Tensor: "add", aten.sub.Tensor: "sub", aten.mul.Tensor: "mul", aten.div.Tensor: "div"}
OF_TWO = {aten.maximum.default: "max", aten.minimum.default: "min", aten.max.other: "max", aten.min.other: "min"}
EXPANSIONS = {aten.expand.default, aten.expand_as.default}

SHAPED_AS = aten.reshape_as.default
LAYOUT_FREE: dict[Any, Any] = {aten.view.default: aten.reshape.default, aten._unsafe_view.default: aten.reshape.default}
"""A view depends on strides, which our values, unlike torch's, do not promise (identities such as clone are dropped)."""


def import_exported(exported: ExportedProgram) -> Graph:
    """Translate an exported network. Parameters and buffers become constants of the nodes that use them; tokens become pixels of maps."""
    return tokens_as_maps(_Importer(exported).run())


class _Importer:
    def __init__(self, exported: ExportedProgram) -> None:
        self.exported = exported
        self.values: dict[str, Any] = {}  # FX node -> name of an IR map, or a constant
        self.paths: dict[int, str] = {}  # id of a parameter's tensor -> its path
        self.nodes: dict[str, Node] = {}
        self.handlers: dict[Any, Callable[[FxNode], str]] = {
            aten.conv2d.default: self._conv,
            aten.conv2d.padding: self._conv,
            aten.conv_transpose2d.input: self._conv_transpose,
            aten.linear.default: self._linear,
            aten.batch_norm.default: self._batch_norm,
            aten._native_batch_norm_legit_no_training.default: self._batch_norm,
            aten.cat.default: self._concat,
            aten.group_norm.default: self._group_norm,
            aten.instance_norm.default: self._instance_norm,
            aten.layer_norm.default: self._layer_norm,
            aten.rsub.Scalar: self._reversed_sub,
            aten.addcmul.default: self._add_product,
            aten.adaptive_avg_pool2d.default: self._adaptive_pool,
            aten.adaptive_max_pool2d.default: self._adaptive_pool,
            ADAPTIVE: self._adaptive,
            **dict.fromkeys(LOCAL, self._local),
        }

    def run(self) -> Graph:
        signature = self.exported.graph_signature
        state = {**dict(self.exported.named_parameters()), **dict(self.exported.named_buffers()), **self.exported.constants}
        targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
        for fx in self.exported.graph.nodes:
            if fx.op == "placeholder":
                if fx.name in targets:
                    tensor = state[targets[fx.name]].detach().clone()  # folded or not, no later change of the network reaches the graph
                    self.values[fx.name] = tensor
                    self.paths[id(tensor)] = targets[fx.name]
                else:
                    self.values[fx.name] = self._input(fx)
            elif fx.op == "get_attr":
                user = next(iter(fx.users)).target
                raise BackendError(
                    f"the network uses {user}, whose parts are programs of their own", "only plain operations can be converted"
                )
            elif fx.op == "call_function" and fx.users:  # what nobody reads is an assertion of torch's
                self.values[fx.name] = self._call(fx)
        spec = self.exported.call_spec.out_spec
        if spec is None:
            raise BackendError("the network returns nothing")
        leaves = self._leaves()
        return Graph(tuple(self.nodes.values()), leaves, spec, self._other_floats())

    def _leaves(self) -> tuple[Any, ...]:
        """What the network returns; an exported network also returns what it changed in place, which is of no use to a caller of ours."""
        signature = self.exported.graph_signature
        if signature.buffers_to_mutate:
            names = ", ".join(sorted(signature.buffers_to_mutate.values()))
            raise BackendError(f"the network changes its buffers while it runs: {names}", "convert a network without memory, in eval mode")
        result = next(fx for fx in self.exported.graph.nodes if fx.op == "output")
        specs = zip(signature.output_specs, result.args[0], strict=True)
        leaves = tuple(leaf for spec, leaf in specs if spec.kind is OutputKind.USER_OUTPUT)
        if any(isinstance(leaf, str) for leaf in leaves):
            raise BackendError("the network returns text", "return tensors and numbers only")
        return tuple(self._returned(leaf) for leaf in leaves)

    def _other_floats(self) -> tuple[str, ...]:
        types = {getattr(_first(fx.meta.get("val")), "dtype", None) for fx in self.exported.graph.nodes}
        return tuple(sorted(str(dtype).removeprefix("torch.") for dtype in types & (FLOATS - {torch.float32})))

    def _input(self, fx: FxNode) -> str:
        """An input; bytes that are only ever turned into floating-point numbers are such numbers from the start."""
        dtype = fx.meta["val"].dtype
        as_float = dtype in FLOATS or (exact_in_float32(dtype) and all(_reads_as_float(user, fx) for user in fx.users))
        own = torch.float32 if as_float else dtype
        return self._emit(fx, "input", (), attrs={"given": dtype}, dtype=own)

    def _returned(self, leaf: Any) -> Any:
        value = self._value(leaf)
        if not isinstance(value, str):
            return value
        dtype = leaf.meta["val"].dtype
        if dtype == self.nodes[value].dtype:
            return value
        name = f"{value}_as_{str(dtype).removeprefix('torch.')}"
        attrs = {"target": aten.to.dtype, "args": (MapArgument(0), dtype), "kwargs": {}, "item": None}
        self.nodes[name] = Node(name, "aten", (value,), self.nodes[value].shape, attrs, dtype=dtype)
        return name

    def _value(self, argument: Any) -> Any:
        """What an FX argument stands for: the name of a map (str), a constant, or a list of them."""
        if isinstance(argument, FxNode):
            return self.values[argument.name]
        if isinstance(argument, list | tuple):
            return [self._value(item) for item in argument]
        return argument

    def _is_map(self, argument: Any) -> bool:
        return isinstance(argument, FxNode) and isinstance(self.values[argument.name], str)

    def _call(self, fx: FxNode) -> Any:
        check_operation(fx)
        if self._is_identity(fx):
            return self._value(fx.args[0])
        if fx.target in FILLED:
            return self._filled(fx)
        if not any(self._is_map(item) for item in fx.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), lambda item: self.values[item.name])
            target: Any = fx.target
            return target(*args, **kwargs)
        if fx.target is operator.getitem:
            return self._getitem(fx)
        check_size(fx)
        if not self._is_float(fx):
            return self._aten(fx)
        if fx.target in ACTIVATIONS and not (fx.target is aten.elu.default and len(fx.args) > 2):  # a scaled one
            return self._emit(fx, "activation", (fx.args[0],), activation=_activation(fx))
        if fx.target in BINARY:
            return self._binary(fx, BINARY[fx.target])
        if fx.target in OF_TWO and all(self._is_map(item) for item in fx.args):
            return self._emit(fx, OF_TWO[fx.target], fx.args)
        if fx.target is aten.glu.default:
            return self._gated_half(fx)
        if fx.target in WRITTEN_OUT and self._is_native_map(fx) and not any(self._is_map(item) for item in fx.args[1:]):
            written = self._written_out(fx)
            return self._aten(fx) if written is None else written
        handler = self.handlers.get(fx.target)
        fits = _is_batch_one(fx) or fx.target in OF_ANY_SHAPE or fx.target is ADAPTIVE
        return handler(fx) if handler is not None and fits else self._aten(fx)

    def _filled(self, fx: FxNode) -> Tensor:
        """A tensor that has its shape and type from another one, and no number."""
        val = fx.meta["val"]
        like = torch.zeros(val.shape, dtype=val.dtype, device="cpu")
        target: Any = fx.target
        args, kwargs = torch.fx.node.map_arg((fx.args[1:], fx.kwargs), lambda item: self.values[item.name])
        result: Tensor = target(like, *args, **kwargs)
        return result

    def _is_identity(self, fx: FxNode) -> bool:
        if not (fx.args and self._is_map(fx.args[0])):
            return False
        if fx.target is aten.dropout.default:
            return fx.args[2] is False or bool(fx.args[1] == 0)
        if fx.target in PADS:
            amounts: Any = fx.args[1]
            return not any(amounts)
        return fx.target in IDENTITIES or (fx.target in CASTS and _own_type(fx.meta["val"]) == self.nodes[self._value(fx.args[0])].dtype)

    def _is_float(self, fx: FxNode) -> bool:
        """Whether all tensors that an operation reads and computes are float32 here, as our own operations expect."""
        read = [self._value(item) for item in fx.all_input_nodes]
        types = [self.nodes[value].dtype if isinstance(value, str) else _own_type(value) for value in read]
        return all(dtype == torch.float32 for dtype in (*types, _own_type(_first(fx.meta["val"]))))

    def _emit(self, fx: FxNode, op: str, inputs: Sequence[Any], **fields: Any) -> str:
        names = tuple(self._value(item) for item in inputs)
        value = _first(fx.meta["val"])
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        self.nodes[fx.name] = Node(fx.name, op, names, shape, **fields)
        return fx.name

    def _constant(self, argument: Any) -> Tensor | None:
        value = self._value(argument)
        return value.float() if isinstance(value, Tensor) else None

    def _weighted(self, fx: FxNode, op: str, attrs: dict[str, Any]) -> str:
        """A layer with constant weight and bias; a weight that is computed from the input leaves no choice but a dense call."""
        path = self.paths.get(id(self._value(fx.args[1])), fx.name).removesuffix(".weight")
        if op == "aten" or self._is_map(fx.args[1]) or (len(fx.args) > 2 and self._is_map(fx.args[2])):
            name = self._aten(fx)
            self.nodes[name] = replace(self.nodes[name], layer=path)
            return name
        weight = self._constant(fx.args[1])
        assert weight is not None
        bias = self._constant(fx.args[2]) if len(fx.args) > 2 else None
        consts = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return self._emit(fx, op, (fx.args[0],), attrs=attrs, consts=consts, layer=path)

    def _conv(self, fx: FxNode) -> str:
        kernel = self._value(fx.args[1]).shape[2:] if not self._is_map(fx.args[1]) else (1, 1)
        return self._weighted(fx, "conv", conv_attributes(fx, kernel))

    def _conv_transpose(self, fx: FxNode) -> str:
        return self._weighted(fx, "conv_transpose", conv_transpose_attributes(fx))

    def _linear(self, fx: FxNode) -> str:
        # Only a single vector is one "pixel"; what tokens are made of is known when the whole graph is.
        shape = fx.meta["val"].shape
        return self._weighted(fx, "linear" if len(shape) == 2 and shape[0] == 1 else "aten", {})

    def _batch_norm(self, fx: FxNode) -> str:
        weight, bias, mean, variance = (self._constant(item) for item in fx.args[1:5])
        if mean is None or variance is None:
            return self._aten(fx)
        stored: Any = fx.args[5:]
        if fx.target is aten.batch_norm.default:
            if stored[0]:  # normalises with the statistics of this input
                return self._aten(fx)
            stored = stored[1:]
        epsilon = stored[1]
        scale = (weight if weight is not None else torch.ones_like(mean)) / torch.sqrt(variance + epsilon)
        shift = (bias if bias is not None else torch.zeros_like(mean)) - mean * scale
        # One of the two spellings returns three tensors, the map first: emit the map; _getitem passes it through.
        shape = tuple(_first(fx.meta["val"]).shape)
        name: str = self._value(fx.args[0])
        extents = (1, -1, 1, 1)[: len(shape)]
        consts = {"scale": scale.view(extents), "shift": shift.view(extents)}
        self.nodes[fx.name] = Node(fx.name, "affine", (name,), shape, consts=consts)
        return fx.name

    def _group_norm(self, fx: FxNode) -> str:
        given: list[Any] = [*fx.args, *(None, None, 1e-5)[len(fx.args) - 2 :]]
        return self._map_norm(fx, given[1], given[2], given[3], given[4])

    def _instance_norm(self, fx: FxNode) -> str:
        given: list[Any] = list(fx.args)
        if not given[5]:  # with statistics from training
            return self._aten(fx)
        return self._map_norm(fx, fx.meta["val"].shape[1], given[1], given[2], given[7])

    def _layer_norm(self, fx: FxNode) -> str:
        """One over all of a map; those over channels are found when tokens are."""
        given: list[Any] = [*fx.args, *(None, None, 1e-5)[len(fx.args) - 2 :]]
        shape = tuple(fx.meta["val"].shape)
        return self._map_norm(fx, 1, given[2], given[3], given[4]) if list(given[1]) == list(shape[1:]) else self._aten(fx)

    def _map_norm(self, fx: FxNode, groups: int, weight: Any, bias: Any, epsilon: float) -> str:
        name, shape = self._value(fx.args[0]), tuple(fx.meta["val"].shape)
        if len(shape) != 4 or self._is_map(weight) or self._is_map(bias):
            return self._aten(fx)

        def add(
            op: str, *inputs: str, shape: tuple[int, ...], activation: Activation | None = None, groups: int = 0, **consts: Tensor
        ) -> str:
            made, attrs = f"{fx.name}_part{len(self.nodes)}", {**SUM, "groups": groups} if op == "conv" else {}
            self.nodes[made] = Node(made, op, inputs, shape, attrs, consts, activation)
            return made

        one, zero = torch.ones((), dtype=torch.float32), torch.zeros((), dtype=torch.float32)
        scale, shift = (default if item is None else _over_map(self._constant(item)) for item, default in ((weight, one), (bias, zero)))
        return group_norm(add, name, shape, groups, scale, shift, epsilon)

    def _getitem(self, fx: FxNode) -> str:
        source: Any = fx.args[0]
        node = self.nodes[self._value(source)]
        if node.op != "aten" or node.attrs["target"] is not source.target:  # a norm, a pool: its first result alone is wanted
            return node.name
        # One dense call per part of a tuple that is used: rare, and it keeps every value a single tensor.
        attrs = {**node.attrs, "item": fx.args[1]}
        check_size(fx)
        value = fx.meta["val"]
        return self._emit_raw(fx, Node(fx.name, "aten", node.inputs, tuple(value.shape), attrs, dtype=_own_type(value)))

    def _emit_raw(self, fx: FxNode, node: Node) -> str:
        self.nodes[fx.name] = node
        return fx.name

    def _binary(self, fx: FxNode, op: str) -> str:
        left, right = fx.args[0], fx.args[1]
        alpha: Any = fx.kwargs.get("alpha", 1)
        shape = tuple(fx.meta["val"].shape)
        if self._is_map(left) and self._is_map(right):
            left, right = (self._unexpanded(item, shape) for item in (left, right))
            if alpha == 1:
                return self._emit(fx, op, (left, right))
            if op == "div":  # rounded
                return self._aten(fx)
            times = f"{fx.name}_times"
            consts = {"scale": torch.tensor(float(alpha), dtype=torch.float32), "shift": torch.zeros((), dtype=torch.float32)}
            self.nodes[times] = Node(times, "affine", (self._value(right),), tuple(right.meta["val"].shape), consts=consts)
            return self._emit_raw(fx, Node(fx.name, op, (self._value(left), times), shape))
        constant, source = (self._value(right), left) if self._is_map(left) else (self._value(left), right)
        reversed_ = source is right
        tensor = constant.float() if isinstance(constant, Tensor) else torch.tensor(float(constant), dtype=torch.float32)
        keeps_shape = isinstance(source, FxNode) and tuple(source.meta["val"].shape) == shape
        if alpha != 1 or not keeps_shape:
            return self._aten(fx)
        if reversed_ and op == "div":
            name = f"{fx.name}_reciprocal"
            self.nodes[name] = Node(name, "activation", (self._value(source),), shape, activation=Activation("reciprocal"))
            consts = {"scale": tensor, "shift": torch.tensor(0.0, dtype=torch.float32)}
            self.nodes[fx.name] = Node(fx.name, "affine", (name,), shape, consts=consts)
            return fx.name
        one, zero = (torch.tensor(number, dtype=torch.float32) for number in (1.0, 0.0))
        scale, shift = {
            "add": (one, tensor),
            "sub": (-one, tensor) if reversed_ else (one, -tensor),
            "mul": (tensor, zero),
            "div": (1 / tensor, zero),
        }[op]
        return self._emit(fx, "affine", (source,), consts={"scale": scale, "shift": shift})

    @staticmethod
    def _unexpanded(operand: Any, shape: tuple[int, ...]) -> Any:
        """Arithmetic repeats a smaller value by itself."""
        if operand.target not in EXPANSIONS or tuple(operand.meta["val"].shape) != shape:
            return operand
        source = operand.args[0]
        return source if len(source.meta["val"].shape) == len(shape) else operand

    def _gated_half(self, fx: FxNode) -> str:
        """The first half of an axis times the logistic function of the second (GLU)."""
        source: Any = fx.args[0]
        name, shape = self._value(source), list(fx.meta["val"].shape)
        axis: Any = fx.args[1] if len(fx.args) > 1 else -1
        axis %= len(shape)
        halves = []
        for number in range(2):
            made = f"{fx.name}_half{number}"
            args = (MapArgument(0), axis, number * shape[axis], (number + 1) * shape[axis])
            attrs = {"target": aten.slice.Tensor, "args": args, "kwargs": {}, "item": None}
            self.nodes[made] = Node(made, "aten", (name,), tuple(shape), attrs)
            halves.append(made)
        opening = f"{fx.name}_opening"
        self.nodes[opening] = Node(opening, "activation", (halves[1],), tuple(shape), activation=Activation("sigmoid"))
        return self._emit_raw(fx, Node(fx.name, "mul", (halves[0], opening), tuple(shape)))

    def _is_native_map(self, fx: FxNode) -> bool:
        """Whether an operation works point by point on a map that a native step computes."""
        node = self.nodes[self._value(fx.args[0])]
        return node.is_map and node.op != "aten" and node.shape == tuple(fx.meta["val"].shape)

    def _written_out(self, fx: FxNode) -> str | None:
        shape = tuple(fx.meta["val"].shape)

        def add(op: str, *inputs: str, activation: Activation | None = None, **consts: Tensor) -> str:
            name = f"{fx.name}_part{len(self.nodes)}"
            self.nodes[name] = Node(name, op, inputs, shape, consts=consts, activation=activation)
            return name

        given = [self._value(item) for item in fx.args[1:]]
        return WRITTEN_OUT[fx.target](add, self._value(fx.args[0]), *given, **fx.kwargs)

    def _reversed_sub(self, fx: FxNode) -> str:
        """constant − alpha · x"""
        constant, alpha = (torch.tensor(float(item), dtype=torch.float32) for item in (*fx.args[1:], 1.0)[:2])  # type: ignore[arg-type]
        return self._emit(fx, "affine", (fx.args[0],), consts={"scale": -alpha, "shift": constant})

    def _add_product(self, fx: FxNode) -> str:
        """shift + value · scale · x, where only x is no constant."""
        shift, *factors = fx.args
        maps = [item for item in factors if self._is_map(item)]
        shape = tuple(fx.meta["val"].shape)
        if self._is_map(shift) or len(maps) != 1 or tuple(maps[0].meta["val"].shape) != shape:  # type: ignore[union-attr]
            return self._aten(fx)
        (scale,) = (self._constant(item) for item in factors if not self._is_map(item))
        offset, times = self._constant(shift), fx.kwargs.get("value", 1)
        if scale is None or offset is None or not isinstance(times, int | float):
            return self._aten(fx)
        return self._emit(fx, "affine", maps, consts={"scale": scale * times, "shift": offset})

    def _concat(self, fx: FxNode) -> str:
        parts: Any = fx.args[0]
        axis = fx.args[1] if len(fx.args) > 1 else 0
        if axis not in (1, -3) or not all(self._is_map(part) for part in parts):
            return self._aten(fx)
        return self._emit(fx, "concat", parts)

    def _adaptive(self, fx: FxNode) -> str:
        """Raises BackendError where the layer is not one of a single stream with constant weights."""
        path = self.paths.get(id(self._value(fx.args[2])), fx.name).removesuffix(".weight")
        constants = [self._value(item) for item in fx.args[2:7]]
        computed = any(isinstance(value, str) for item in constants for value in (item if isinstance(item, list) else [item]))
        if computed or not all(self._is_map(item) and self.nodes[self._value(item)].is_map for item in fx.args[:2]):
            raise BackendError(
                f"the adaptive layer {path} reads {'weights that are computed' if computed else 'several maps at a time'}",
                "give it maps of one stream, (1, C, H, W), and weights of its own",
            )
        settings: Any = fx.args[7:]
        for node in adaptive_nodes(fx.name, path, self._value(fx.args[0]), self._value(fx.args[1]), self.nodes, constants, settings):
            self.nodes[node.name] = node
        return fx.name

    def _local(self, fx: FxNode) -> str:
        op, attributes = LOCAL[fx.target]
        attrs = attributes(fx)
        return self._aten(fx) if attrs is None else self._emit(fx, op, (fx.args[0],), attrs=attrs)

    def _adaptive_pool(self, fx: FxNode) -> str:
        found = adaptive_pool(fx)
        if found is None:
            return self._aten(fx)
        op, attrs = found
        if attrs.get("kernel") == (1, 1):
            return str(self._value(fx.args[0]))
        return self._emit(fx, op, (fx.args[0],), attrs=attrs)

    def _aten(self, fx: FxNode) -> str:
        """Any other operation, kept as it is. Maps among its arguments become inputs, constants are closed over."""
        inputs: list[str] = []
        if fx.target is SHAPED_AS and self._is_map(fx.args[0]):  # of the other tensor only the shape counts
            shape = tuple(fx.meta["val"].shape)
            attrs = {"target": aten.reshape.default, "args": (MapArgument(0), list(shape)), "kwargs": {}, "item": None}
            name = self._value(fx.args[0])
            return self._emit_raw(fx, Node(fx.name, "aten", (name,), shape, attrs, dtype=self.nodes[name].dtype))

        def bind(item: FxNode) -> Any:
            value = self.values[item.name]
            if not isinstance(value, str):
                return value.float() if isinstance(value, Tensor) and value.dtype in FLOATS else value
            inputs.append(value)
            return MapArgument(len(inputs) - 1)

        args, kwargs = torch.fx.node.map_arg((fx.args, fx.kwargs), bind)
        attrs = {"target": LAYOUT_FREE.get(fx.target, fx.target), "args": _in_float32(args), "kwargs": _in_float32(kwargs), "item": None}
        value = fx.meta["val"]
        shape = tuple(value.shape) if isinstance(value, Tensor) else ()
        return self._emit_raw(fx, Node(fx.name, "aten", tuple(inputs), shape, attrs, dtype=_own_type(_first(value))))


def _activation(fx: FxNode) -> Activation:
    kind, params = ACTIVATIONS[fx.target]
    if fx.kwargs.get("approximate") == "tanh":
        return Activation("gelu_tanh")
    given: list[Any] = [*fx.args[1:], *[None] * len(params)]
    return Activation(kind, tuple(default if item is None else float(item) for item, default in zip(given, params, strict=False)))


def _over_map(constant: Tensor | None) -> Tensor:
    """A norm's constant, by channel or by number of a map, so that it broadcasts over a map."""
    assert constant is not None
    return constant.view(1, -1, 1, 1) if constant.dim() == 1 else constant.unsqueeze(0)


def _is_batch_one(fx: FxNode) -> bool:
    shape = _first(fx.meta["val"]).shape
    return len(shape) in (2, 4) and shape[0] == 1


def _own_type(value: Any) -> Any:
    """The type in which a value of the network is held here; None of what is no tensor."""
    dtype = getattr(value, "dtype", None)
    return torch.float32 if dtype in FLOATS else dtype


def _in_float32(argument: Any) -> Any:
    """An argument of an operation that works in float32, whatever the network works in."""
    if isinstance(argument, torch.dtype):
        return torch.float32 if argument in FLOATS else argument
    if isinstance(argument, float) and LARGEST < abs(argument) < float("inf"):  # the lowest number of a float64 stands for "never"
        return LARGEST if argument > 0 else -LARGEST
    if isinstance(argument, dict):
        return {key: _in_float32(item) for key, item in argument.items()}
    if isinstance(argument, list | tuple) and not hasattr(argument, "_fields"):
        return type(argument)(_in_float32(item) for item in argument)
    return argument


def _reads_as_float(user: FxNode, source: FxNode) -> bool:
    """Whether an operation turns an integer input into floating-point numbers before it does anything else."""
    if _own_type(user.meta.get("val")) != torch.float32 or user.all_input_nodes != [source]:
        return False
    return user.target in CASTS or (user.target in BINARY and isinstance(user.args[1], int | float))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value
