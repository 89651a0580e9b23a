"""Heads of networks that come as files: recognised from the shapes and names of what they return, one file a kind."""
