"""Packaging: builds a Python provider package into single files, and publishes them to a registry."""
