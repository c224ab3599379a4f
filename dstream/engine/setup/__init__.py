"""Setup: opens what every operation stands on.

Takes a folder and options; hands on an `Operation` (configuration, values, backend) and the graph of its blocks.
"""
