"""Decode: syntax trees of all files to one typed `Config`.

Takes trees; hands on blocks with unevaluated expressions, and everything that is wrong with their shape.
"""
