"""The paper's layer, Skip-Convolution (section 3.1), and the same for transposed convolutions and for linear layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import UsageError
from skipvid.nn.base import SkipLayer
from skipvid.nn.gates import Gate
from skipvid.nn.streams import OnMaps, StreamLayer
from skipvid.nn.window import POINT, Pair, Window, same_pads, transposed_window


class SkipConv2d(OnMaps, SkipLayer, nn.Conv2d):
    """A drop-in for torch.nn.Conv2d that computes only what its gate opens (paper, section 3.1). All arguments of Conv2d, and three more.

    x: one frame, (N, C, H, W) or (C, H, W), of N streams whose state the layer keeps; or a clip, (N, T, C, H, W). Returns the same with the
    layer's channels and size. gate, reference, calls: see SkipLayer; the default gate is NormGate(). With reference "accumulated" and a
    gate on the inputs, the output is at any time the plain convolution of the published input; with threshold 0, that of x itself.
    `cost` and `masks` tell of the last forward; masks: for each call (N, h, w) bool, (N, T, h, w) after a clip, True where an output was
    computed. Raises UsageError for inputs of another kind and for settings out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gate: Gate | None = None,
        reference: str = "accumulated",
        calls: int = 1,
    ) -> None:
        nn.Conv2d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._install(gate, reference, calls)

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, gate: Gate | None = None, reference: str = "accumulated", calls: int = 1) -> SkipConv2d:
        """A skip convolution with the parameters (the same objects), mode and hooks of `conv`, which is not changed.

        A subclass of Conv2d keeps its own forward (padding by size, standardised weights): whatever reaches Conv2d's convolution in it is
        gated. A subclass that calls torch.nn.functional.conv2d by itself stays dense; `convert_modules` finds that out from an example.
        Raises UsageError for anything but a convolution in two dimensions that is not gated yet.
        """
        check_kind(conv, nn.Conv2d, cls)
        return mixed(type(conv), cls)._adopt(conv, gate, reference, calls)

    def _window(self) -> Window:
        kernel, dilation = _pair(self.kernel_size), _pair(self.dilation)
        if self.padding == "same":
            pads = same_pads(kernel, dilation)
        else:
            vertical, horizontal = (0, 0) if isinstance(self.padding, str) else _pair(self.padding)
            pads = (vertical, vertical, horizontal, horizontal)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return Window(kernel, _pair(self.stride), dilation, pads, mode)

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return cast(Tensor, nn.Conv2d._conv_forward(self, x, weight, bias))

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Where the forward of Conv2d, and of subclasses that first pad or change the weight, ends.
        return self._frame_or_clip(input, weight, bias)


class SkipConvTranspose2d(OnMaps, SkipLayer, nn.ConvTranspose2d):
    """A drop-in for torch.nn.ConvTranspose2d; everything else as for SkipConv2d. The output size is fixed by output_padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gate: Gate | None = None,
        reference: str = "accumulated",
        calls: int = 1,
    ) -> None:
        rest: Any = (kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, device, dtype)
        nn.ConvTranspose2d.__init__(self, in_channels, out_channels, *rest)
        self._install(gate, reference, calls)

    @classmethod
    def from_conv(cls, conv: nn.ConvTranspose2d, gate: Gate | None = None, reference: str = "accumulated", calls: int = 1) -> Self:
        """As SkipConv2d.from_conv; subclasses with a forward of their own are refused."""
        check_kind(conv, nn.ConvTranspose2d, cls)
        return cls._adopt(conv, gate, reference, calls)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None:
            raise UsageError(f"{type(self).__name__} is given output_size={output_size!r}", "set output_padding when making the layer")
        return self._frame_or_clip(input, self.weight, self.bias)

    def _window(self) -> Window:
        settings = self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        return transposed_window(*(_pair(setting) for setting in settings))

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.conv_transpose2d(
            x, weight, bias, _pair(self.stride), _pair(self.padding), _pair(self.output_padding), self.groups, _pair(self.dilation)
        )


class SkipLinear(SkipLayer, nn.Linear):
    """A drop-in for torch.nn.Linear that computes only the positions its gate opens: a 1x1 convolution over tokens or over a 1x1 head.

    x: one frame, (N, ..., C): N streams, any number of positions. A clip, (N, T, ..., C), is run by `clip` or within `run_clip`, because
    its shape does not tell it from a frame. masks: for each call (N, ...) bool, (N, T, ...) after a clip. Otherwise as SkipConv2d.
    """

    _channel_axis: ClassVar[int] = -1

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gate: Gate | None = None,
        reference: str = "accumulated",
        calls: int = 1,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, device, dtype)
        self._install(gate, reference, calls)

    @classmethod
    def from_linear(cls, linear: nn.Linear, gate: Gate | None = None, reference: str = "accumulated", calls: int = 1) -> Self:
        """As SkipConv2d.from_conv; subclasses with a forward of their own are refused."""
        check_kind(linear, nn.Linear, cls)
        return cls._adopt(linear, gate, reference, calls)

    def forward(self, input: Tensor) -> Tensor:
        return self._advance(input, self.weight, self.bias)

    def _window(self) -> Window:
        return POINT

    def _channels(self) -> tuple[int, int]:
        return self.in_features, self.out_features

    def _to_map(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[-1] != self.in_features or not x.is_floating_point():
            raise UsageError(
                f"{type(self).__name__} is given a tensor {tuple(x.shape)} of {x.dtype}",
                f"it takes frames (N, ..., {self.in_features}) of floating-point numbers",
            )
        return x.reshape(len(x), -1, x.shape[-1]).transpose(1, 2).unsqueeze(3)

    def _from_map(self, y: Tensor, like: Tensor) -> Tensor:
        return y.squeeze(3).transpose(1, 2).reshape(*like.shape[:-1], y.shape[1])

    def _dense(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x.transpose(1, 3), weight, bias).transpose(1, 3)


def has_own_forward(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the class of a layer does something else than `kind`, one of torch's layers."""
    return any(getattr(type(layer), name, None) is not getattr(kind, name, None) for name in ("forward", "_conv_forward"))


def check_kind(layer: nn.Module, kind: type[nn.Module], target: type[StreamLayer]) -> None:
    """Raises UsageError where `target` cannot be made from a layer, which must be a torch layer of this kind."""
    name = type(layer).__name__
    if isinstance(layer, StreamLayer) or not isinstance(layer, kind):
        raise UsageError(f"{target.__name__} cannot be made from {name}", f"it takes a torch.nn.{kind.__name__} that is not converted yet")
    if isinstance(layer.weight, nn.UninitializedParameter):
        raise UsageError(f"{name} has no weights yet", "run the network once before its layers are converted")
    if kind is not nn.Conv2d and has_own_forward(layer, kind):
        raise UsageError(f"{name} has a forward of its own, which {target.__name__} would not call", "convert the layer by hand")


M = TypeVar("M", bound=StreamLayer)

_MIXED: dict[tuple[type[nn.Conv2d], type[StreamLayer]], type[Any]] = {}


def mixed(kind: type[nn.Conv2d], target: type[M]) -> type[M]:
    """`target`, a class derived from Conv2d; for a subclass of Conv2d a class with that one's forward and with target's convolution."""
    if kind is nn.Conv2d:
        return target
    if (kind, target) not in _MIXED:
        name = f"{target.__name__.removesuffix('Conv2d')}{kind.__name__}"
        _MIXED[kind, target] = type(name, (kind, target), {"__reduce__": _reduce_mixed})
    return cast(type[M], _MIXED[kind, target])


def _reduce_mixed(self: StreamLayer) -> tuple[Any, ...]:
    # A class made at run time cannot be found by its name; what it was made of can.
    return _new_mixed, type(self).__bases__, self.__getstate__()


def _new_mixed(kind: type[nn.Conv2d], target: type[StreamLayer]) -> StreamLayer:
    made = mixed(kind, target)
    return made.__new__(made)


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
