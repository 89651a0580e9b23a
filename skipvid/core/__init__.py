"""What everything speaks of: frames and results, errors with their exit codes, labels, files that appear whole."""
