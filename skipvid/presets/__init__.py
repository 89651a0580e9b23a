"""Presets: a network, its weights and its gates, by name; and the weights' files."""
