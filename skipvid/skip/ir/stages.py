"""Stages: the few groups of layers under which a report adds up costs, found from the layers' dotted names."""

from __future__ import annotations

from collections.abc import Mapping

MOST_STAGES = 16


def assign_stages(macs: Mapping[str, int]) -> dict[str, str]:
    """The stage of each layer. macs: dense MACs by layer name, in the network's order.

    Starts from one group and keeps splitting the most expensive one by the next part of its names, for as long as no more than
    MOST_STAGES groups result; so an EfficientDet shows its backbone's blocks, its BiFPN cells and its two heads.
    """
    groups: dict[str, list[str]] = {"": list(macs)}
    closed: set[str] = set()
    while open_groups := [prefix for prefix in groups if prefix not in closed]:
        prefix = max(open_groups, key=lambda item: sum(macs[name] for name in groups[item]))
        parts = _split(prefix, groups[prefix])
        if len(groups) - 1 + len(parts) > MOST_STAGES or any(part in groups for part in parts if part != prefix):
            closed.add(prefix)
            continue
        if list(parts) == [prefix]:
            closed.add(prefix)
        members = dict(groups)
        del members[prefix]
        groups = {**members, **parts}
    order = {name: position for position, name in enumerate(macs)}
    ordered = sorted(groups.items(), key=lambda item: min((order[name] for name in item[1]), default=0))
    return {name: prefix or "network" for prefix, names in ordered for name in names}


def _split(prefix: str, names: list[str]) -> dict[str, list[str]]:
    """Group names by one more part than `prefix` has; a name that ends there stays under its whole path."""
    depth = prefix.count(".") + 2 if prefix else 1
    parts: dict[str, list[str]] = {}
    for name in names:
        path = name.split("@")[0].split("#")[0]
        parts.setdefault(".".join(path.split(".")[:depth]), []).append(name)
    return parts
