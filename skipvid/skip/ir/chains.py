"""What is computed as one: which nodes have native kernels, and which point-wise nodes are joined to a chain.

Only the last result of a chain is stored. So chains belong to the definition of half precision, too: what is stored is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch

from skipvid.skip.ir.graph import ARITHMETIC, Graph, Node

POINTWISE = ARITHMETIC | {"affine", "activation"}
LOCAL = frozenset(
    {
        "conv",
        "conv_transpose",
        "channels",
        "resize",
        "max_pool",
        "avg_pool",
        "adaptive_pool",
        "pad",
        "gather",
        "layer_norm",
        "softmax",
        "attention",
        "publish",
        "global_mean",
        "choice",
        "select",
    }
)
HANDED_OVER = {"tokens": "it hands a map to PyTorch", "token_map": "it hands on what PyTorch has computed"}
LONGEST_CHAIN = 8


def find_fallbacks(graph: Graph) -> dict[str, str]:
    """Nodes without a kernel, which PyTorch computes, and why."""
    by_name = graph.by_name
    found: dict[str, str] = {}
    for node in graph:
        reason = _why_fallback(node, by_name, found)
        if reason is not None:
            found[node.name] = reason
    return found


def _why_fallback(node: Node, by_name: Mapping[str, Node], fallback: Mapping[str, str]) -> str | None:
    """fallback: the nodes before it that are."""
    sources = [by_name[name] for name in node.inputs]
    if node.op == "input" and node.dtype != torch.float32:
        return f"its values are {str(node.dtype).removeprefix('torch.')}"
    if node.op == "aten":
        return f"{node.attrs['target']} has no kernel"
    if node.op == "pointwise":
        return "PyTorch computes it, on changed pixels only"
    if node.op in HANDED_OVER:
        return HANDED_OVER[node.op]
    if node.op in POINTWISE:
        maps = node.is_map and all(source.is_map for source in sources)
        if not maps and any(name in fallback for name in node.inputs):
            return "it works on values that are no maps, which PyTorch computes"  # copying them there and back would cost more
        return None if maps or all(source.shape == node.shape for source in sources) else "it broadcasts values that are no maps"
    if node.op == "concat" and not all(source.is_map or len(source.shape) == 2 for source in sources):
        return "it joins values that are no maps"
    if node.op in LOCAL and not (node.is_map and all(source.is_map for source in sources)):
        return "it works on a value that is no map"
    return None


def find_chains(graph: Graph, gated: Set[str], fallback: Mapping[str, str]) -> dict[str, tuple[Node, ...]]:
    """For the last node of each point-wise chain all its nodes, in order. gated: maps with a gate.

    A node is joined to its reader where nobody else reads it: recomputing it costs less than remembering it.
    """
    consumers = graph.consumers()
    kept = graph.output_names | gated
    chains: dict[str, tuple[Node, ...]] = {}
    for node in graph:
        if node.op not in POINTWISE or node.name in fallback:
            continue
        chain: tuple[Node, ...] = (node,)
        for name in node.inputs:
            if name in chains and name not in kept and len(consumers[name]) == 1:
                source = chains[name]
                if source[-1].shape == node.shape and len(source) + len(chain) <= LONGEST_CHAIN:
                    chain = (*source, *chain)
                    del chains[name]
        chains[node.name] = chain
    return chains
