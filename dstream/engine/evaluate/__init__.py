"""Evaluate: turns configuration blocks into desired objects.

Takes blocks and a scope; returns desired objects with their sensitive paths, values for expressions, and diagnostics.
No provider is started here.
"""
