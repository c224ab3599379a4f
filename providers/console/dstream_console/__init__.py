"""A dstream output that shows data on the terminal."""
