"""A dstream input that counts: the smallest source there is, for first steps, demos and measurements."""
