"""OCI: reading and writing artifacts in registries, mirrors, layouts on disk and the local cache.

Every byte is checked by size and digest. Nothing here decides what a configuration may execute.
"""
