"""A dstream output that writes one log line per envelope."""
