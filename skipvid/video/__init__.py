"""Sources, sinks and drawing; never imports torch."""
