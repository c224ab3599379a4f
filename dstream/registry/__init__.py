"""Providers that travel: OCI registries and layouts, a content-addressed cache, the lock file, signatures.

Nothing here starts a provider. What is fetched is checked by size and digest at every step, and what a
configuration may execute is what its lock file names. Modules are imported where they are needed: the HTTP
library alone takes longer to load than most commands take to run.
"""
