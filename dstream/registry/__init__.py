"""Registry: fetches, verifies, locks and publishes providers: OCI registries and mirrors, cache, lock file, signatures.

Nothing here starts a provider. Downloads are checked by size and digest at every step, and a configuration executes
only content in its lock file. Modules are imported where they are needed: the HTTP library alone takes longer to load
than most commands take to run.
"""
