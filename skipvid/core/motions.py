"""Names of what can be done where the camera moves."""

MOTIONS = ("auto", "none", "canvas", "shift")
"""canvas: the network is given pictures that are registered, in which the scene stands still. auto: while that saves work. none: never.

shift: as canvas, and what is known moves with a pan.
"""
