"""Refresh: brings the prior state up to date with reality.

Takes recorded objects; hands on what their providers report of them, after moves, imports and schema upgrades.
"""
