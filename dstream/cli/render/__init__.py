"""What a user sees: the only place that turns plans, diagnostics and progress into text, and the only one that prints."""
