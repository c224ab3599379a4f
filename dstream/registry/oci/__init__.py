"""OCI: reading and writing artifacts in registries, mirrors, layouts on disk and the local cache.

All content is checked by size and digest. This package does not decide what a configuration may execute.
"""
