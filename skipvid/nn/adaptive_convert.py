"""Swapping adaptive layers for the convolutions of a model, and finding them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from skipvid.nn.adaptive import RATIOS, AdaptiveConv2d
from skipvid.nn.adaptive_policy import Policy
from skipvid.nn.convert import ModuleReport, swap_layers


def convert_adaptive(
    model: nn.Module,
    select: Callable[[str, nn.Conv2d], bool] | None = None,
    policy: Callable[[nn.Conv2d], Policy] | None = None,
    example: Tensor | tuple[Tensor, ...] | None = None,
    inplace: bool = False,
    *,
    ratios: Sequence[float] = RATIOS,
    cheap_kernel: int = 3,
    reuse: bool = True,
    hysteresis: float = 1.0,
    least_stay: int = 1,
    longest_reuse: int = 8,
) -> tuple[nn.Module, ModuleReport]:
    """Swap adaptive layers for convolutions of a model. Returns a converted copy, or with inplace=True the model itself, and a report.

    select: called with the path of each Conv2d and the layer, tells whether to convert it, so that single blocks can be chosen; None for
    all. policy: a function from a layer to its policy; None for LearnedPolicy(). example, inplace: as in convert_modules.
    ratios, cheap_kernel, reuse, hysteresis, least_stay, longest_reuse: as in AdaptiveConv2d.

    A layer is left where its smallest ratio would cost as much as the layer itself (depthwise convolutions). Raises UsageError as
    convert_modules does.
    """

    def make(module: nn.Module, calls: int) -> AdaptiveConv2d | str:
        assert isinstance(module, nn.Conv2d)
        layer = AdaptiveConv2d.from_conv(
            module,
            ratios=ratios,
            cheap_kernel=cheap_kernel,
            reuse=reuse,
            policy=None if policy is None else policy(module),
            hysteresis=hysteresis,
            least_stay=least_stay,
            longest_reuse=longest_reuse,
            calls=calls,
        )
        share = layer.least_share
        return layer if share < 1 else f"its smallest ratio would cost {share:.3g} times the MACs of the layer"

    def selected(path: str, module: nn.Module) -> bool:
        return isinstance(module, nn.Conv2d) and (select is None or select(path, module))

    return swap_layers(model, (nn.Conv2d,), selected, make, _describe, example, inplace)


def adaptive_layers(model: nn.Module) -> list[tuple[str, AdaptiveConv2d]]:
    """The adaptive layers of a model with their module paths, each once."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, AdaptiveConv2d)]


def _describe(layer: AdaptiveConv2d) -> str:
    calls = f", {layer.calls} calls a frame" if layer.calls > 1 else ""
    return f"{type(layer).__name__}, {type(layer.policy).__name__}{calls}"
