"""Decode: syntax trees of all files to one typed `Config`.

Takes trees; returns blocks with unevaluated expressions, and all structural errors.
"""
