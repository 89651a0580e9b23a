"""skipvid: video analysis that computes only what changed."""

__version__ = "0.1.0"
