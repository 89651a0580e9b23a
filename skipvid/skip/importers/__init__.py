"""From a network to the graph."""
