"""Syntax: text to a syntax tree, each node with its place in the text.

Takes the text of one file; hands on a tree and every independent problem. Also the formatter, which works on tokens.
"""
