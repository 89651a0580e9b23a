"""Names of what can be done where the camera moves."""

WARP = "warp"
MOTIONS = ("auto", "none", "canvas", "shift", WARP)
"""canvas: the network is given pictures that are registered, in which the scene stands still. auto: while that saves work. none: never.

shift: as canvas, and what is known moves with a pan. warp: in place of gates, activation motion compensation, which has no bound.
"""
