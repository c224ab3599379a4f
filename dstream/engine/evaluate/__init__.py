"""Evaluate: turns configuration blocks into desired objects.

Takes blocks and a scope; hands on desired objects with their sensitive paths, values for expressions, and what is
wrong with them. No provider is started here.
"""
