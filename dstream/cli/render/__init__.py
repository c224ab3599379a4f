"""What a user sees: plans, diagnostics and progress as text. The only place that prints."""
