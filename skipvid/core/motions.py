"""Names of what can be done where the camera moves."""

MOTIONS = ("auto", "none", "canvas")
"""canvas: the network is given pictures that are registered, in which the scene stands still. auto: while that saves work. none: never."""
