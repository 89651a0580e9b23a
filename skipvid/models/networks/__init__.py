"""The networks of the families as PyTorch modules, imported when one is built."""
