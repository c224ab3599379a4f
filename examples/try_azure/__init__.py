"""Try dstream on a real Azure subscription: `python -m examples.try_azure`; docs/try-azure.md says how."""
