"""Activation motion compensation, for comparison: it has no bound (Buckler et al., "EVA²: Exploiting Temporal Redundancy in Live Computer
Vision", ISCA 2018)."""
