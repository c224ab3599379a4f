"""Providers: who serves which block, and what each of them reports about itself.

Takes provider blocks and task sides; hands on provider configurations, running sessions, the rules of each resource
type, and the objects that a task requires.
"""
