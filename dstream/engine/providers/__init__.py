"""Providers: finds and starts the provider of each block, and reads its schema.

Takes provider blocks and task sides; returns provider configurations, running sessions, the rules of each resource
type, and the objects that a task requires.
"""
