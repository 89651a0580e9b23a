"""Names of what can be done about the noise of a camera."""

DENOISING = ("auto", "none")
"""auto: it is taken out of the network's pictures where there is some. none: the network sees it."""
