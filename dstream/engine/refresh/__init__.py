"""Refresh: updates the prior state from the real objects.

Takes recorded objects; returns what their providers report, after moves, imports and schema upgrades.
"""
