"""Commands: the operations beside plan and apply.

Each module is one operation of the command line: drift, validate, import, state edits, provider locks.
"""
