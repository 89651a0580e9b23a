"""From a source through an engine to the sinks."""
