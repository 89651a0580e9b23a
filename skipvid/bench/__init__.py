"""Speed: the gated network against itself without gates, and against other runtimes, on the same frames in one run."""
