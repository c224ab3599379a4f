"""The counter provider: an input that counts, for first steps, demos and measurements."""
