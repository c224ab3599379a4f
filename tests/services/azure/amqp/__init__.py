"""AMQP 1.0 for a server, in Python alone: the types, and connections with their sessions and links.

Written from the standard (OASIS AMQP 1.0, parts 1 to 3 and 5), because the library that could do it has to be compiled.
"""
