"""Lock file: the provider content that a configuration may execute, and its installation."""
