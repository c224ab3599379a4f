"""Syntax: parses text into a syntax tree with source ranges.

Takes the text of one file; returns a tree and every independent error. Also has the formatter, which works on tokens.
"""
