"""Output: plans, diagnostics and progress as text. The only package that prints."""
