"""Packaging: from a Python provider package to single files, and from these to a reference in a registry."""
