"""Real services for tests and demos, each started by a plain context manager."""
