"""The definition of what a frame computes, in plain PyTorch."""
