"""The network as a graph of nodes: passes, footprints, rearrangements, costs."""
