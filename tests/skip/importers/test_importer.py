"""From torch.export's program to the IR: which operation becomes what, and what is refused in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, operations, raw_graph, run
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.core.errors import BackendError
from skipvid.skip.importers.exported import import_exported
from skipvid.skip.importers.tracing import export

SHAPE = (1, 4, 8, 6)


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1, **options)


IMPORTED: dict[str, tuple[Callable[[Any, Tensor], Any], dict[str, int]]] = {
    "mean over the map, kept": (lambda m, x: x.mean((-1, 2), keepdim=True), {"global_mean": 1}),
    "adaptive pool to one": (lambda m, x: functional.adaptive_avg_pool2d(x, 1), {"global_mean": 1}),
    "mean over the rows": (lambda m, x: x.mean(2, keepdim=True), {"gather": 8, "add": 7, "affine": 1}),
    "mean over many rows": (lambda m, x: functional.interpolate(x, scale_factor=8).mean(2, keepdim=True), {"resize": 1, "aten": 1}),
    "mean over everything": (lambda m, x: torch.mean(x, dim=None, keepdim=True), {"aten": 1}),
    "concat of channels": (lambda m, x: torch.cat([x, x, x], -3), {"concat": 1}),
    "concat of rows": (lambda m, x: torch.cat([x, x], 2), {"aten": 1}),
    "concat with a constant": (lambda m, x: torch.cat([x, torch.ones(1, 1, 8, 6)], 1), {"aten": 1}),
    "scalar operations": (lambda m, x: (2 - x) * 3 / 4 + 5, {"affine": 4}),
    "a constant divided": (lambda m, x: 1 / x, {"activation": 1, "affine": 1}),  # torch writes a reciprocal, times one
    "alpha": (lambda m, x: torch.add(x, x, alpha=2), {"affine": 1, "add": 1}),
    "broadcast by a constant": (lambda m, x: x[:, :, :1] + torch.ones(1, 1, 8, 1), {"aten": 2}),
    "dilated pool": (lambda m, x: functional.max_pool2d(x, 2, 1, 0, 2), {"max_pool": 1}),
    "pool in ceil mode": (lambda m, x: functional.max_pool2d(x, 3, 2, ceil_mode=True), {"max_pool": 1}),
    "average pool in ceil mode": (lambda m, x: functional.avg_pool2d(x, 3, 2, ceil_mode=True), {"avg_pool": 1}),
    "average that counts padding, in ceil mode": (lambda m, x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True), {"aten": 1}),
    "pool with indices": (lambda m, x: functional.max_pool2d(x, 2, return_indices=True)[1], {"aten": 1}),
    "average pool with a divisor": (lambda m, x: functional.avg_pool2d(x, 2, divisor_override=3), {"aten": 1}),
    "reflecting pad": (lambda m, x: functional.pad(x, (1, 1, 2, 1), mode="reflect"), {"aten": 1}),
    "pad of channels": (lambda m, x: functional.pad(x, (0, 0, 0, 0, 1, 0)), {"aten": 1}),
    "resize with antialias": (lambda m, x: functional.interpolate(x, (4, 4), mode="bilinear", antialias=True), {"aten": 1}),
    "float64": (lambda m, x: functional.relu(x.double()), {"activation": 1, "aten": 1}),  # computed in float32, and cast at the end
    "same type": (lambda m, x: functional.relu(x.to(torch.float32).float()), {"activation": 1}),
    "integers": (lambda m, x: x.argmax(1, keepdim=True) + 1, {"aten": 2}),
    "dropout": (lambda m, x: functional.dropout(x, 0.5, False).relu(), {"activation": 1}),
    "constants": (lambda m, x: x * (torch.arange(4).view(4, 1, 1).float().softmax(0) + torch.ones(4, 1, 1)), {"affine": 1}),
}


@pytest.mark.parametrize("name", IMPORTED)
def test_operation_becomes_the_right_node_and_computes_the_same(name: str) -> None:
    function, expected = IMPORTED[name]
    net, x = Net(function), torch.rand(SHAPE) + 0.1
    graph = graph_of(net, SHAPE)
    assert operations(graph) == Counter(expected)
    torch.testing.assert_close(run(graph, x)[0], net(x), rtol=1e-6, atol=1e-6)


def test_convolution_keeps_its_numbers_and_the_path_of_its_parameters() -> None:
    net = nn.ModuleDict({"body": nn.Conv2d(4, 8, (3, 2), (2, 1), "valid", (1, 3), 2)})
    node = graph_of(Net(lambda m, x: m.net["body"](x), net=net), SHAPE).nodes[1]
    assert (node.layer, node.shape) == ("net.body", (1, 8, 3, 3))
    assert node.attrs == {"stride": (2, 1), "pads": (0, 0, 0, 0), "dilation": (1, 3), "groups": 2}


def test_same_padding_of_an_even_kernel_puts_the_odd_pixel_behind() -> None:
    net = nn.Conv2d(4, 4, (2, 5), padding="same", dilation=(3, 1))
    graph = graph_of(net, SHAPE)
    assert graph.nodes[1].attrs["pads"] == (1, 2, 2, 2)
    x = torch.randn(SHAPE)
    torch.testing.assert_close(run(graph, x)[0], net(x))


def test_weight_computed_from_the_input_runs_densely() -> None:
    graph = graph_of(Net(lambda m, x: functional.conv2d(x, x[:, :, :3, :3])), SHAPE)
    assert "aten.conv2d.default" in {str(node.attrs.get("target")) for node in graph}


def test_normalised_weight_of_a_parametrised_convolution_is_a_constant() -> None:
    net = nn.utils.parametrizations.weight_norm(conv())
    x = torch.randn(SHAPE)
    graph = graph_of(net, SHAPE)
    assert operations(graph) == {"conv": 1}
    with torch.no_grad():
        torch.testing.assert_close(run(graph, x)[0], net(x))


def test_weights_used_several_times_are_one_tensor() -> None:
    graph = graph_of(Net(lambda m, x: m.conv(m.conv(m.conv(x))), conv=conv()), SHAPE)
    convs = [node for node in graph if node.op == "conv"]
    assert len(convs) == 3 and len({node.consts["weight"].data_ptr() for node in convs}) == 1
    assert {node.layer for node in convs} == {"conv"}


def test_outputs_keep_their_order_their_duplicates_and_their_constants() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y = m.conv(x)
        return {"a": (y, x), "b": [m.weight, 7, None, y]}

    net = Net(forward, conv=conv(), weight=nn.Parameter(torch.randn(2)))
    graph = graph_of(net, SHAPE)
    first, image, constant, number, nothing, last = graph.outputs
    assert first == last and image == graph.inputs[0].name and (number, nothing) == (7, None)
    assert torch.equal(constant, net.weight)


def test_input_that_nothing_reads_stays_part_of_the_signature() -> None:
    graph = graph_of(Net(lambda m, x, y, z: m.conv(y), conv=conv()), SHAPE, SHAPE, (1, 3))
    assert [node.shape for node in graph.inputs] == [SHAPE, SHAPE, (1, 3)]
    assert graph.nodes[-1].inputs == (graph.inputs[1].name,)


def test_input_changed_in_place_is_not_returned() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x -= 1
        return m.conv(x)

    net, x = Net(forward, conv=conv()), torch.randn(SHAPE)
    leaves = run(graph_of(net, SHAPE), x)
    assert len(leaves) == 1
    with torch.no_grad():
        torch.testing.assert_close(leaves[0], net(x.clone()))


def test_vector_and_map_batch_norms_are_affines() -> None:
    for net, shape in ((nn.BatchNorm1d(4), (1, 4)), (nn.BatchNorm2d(4, affine=False), SHAPE)):
        net.running_mean.normal_()
        graph, x = graph_of(net, shape), torch.randn(shape)
        assert operations(graph) == {"affine": 1}
        torch.testing.assert_close(run(graph, x)[0], net(x))


def remembers(m: Any, x: Tensor) -> Tensor:
    m.last.copy_(x)
    return m.conv(x - m.last)


def branches(m: Any, x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda y: m.conv(y), lambda y: m.conv(y) + 1, (x,))


def decides(m: Any, x: Tensor) -> Tensor:
    return m.conv(x) if x.sum() > 0 else x


REFUSED = {
    "a decision by value": (decides, "cannot be exported"),
    "memory": (remembers, "changes its buffers while it runs: last"),
    "programs inside": (branches, "the network uses cond"),
    "text": (lambda m, x: (m.conv(x), "text"), "the network returns text"),
    "a wrong shape": (lambda m, x: m.conv(x[:, :2]), "cannot be exported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_imported_is_refused_in_one_line(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(BackendError, match=reason) as caught:
        raw_graph(Net(function, conv=conv(), last=torch.zeros(SHAPE)), SHAPE)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_batch_norm_in_training_mode_inside_a_traced_graph_is_refused() -> None:
    net = nn.Sequential(conv(), nn.BatchNorm2d(4))
    net[1].train()
    with pytest.raises(BackendError, match="changes its buffers"):
        import_exported(export(net, (torch.zeros(SHAPE),)))
