"""A dstream input and a dstream output for files of JSON Lines."""
