"""Commands: the operations other than plan and apply.

Each module is one operation of the command line: drift, validate, import, state edits, dependency lock.
"""
