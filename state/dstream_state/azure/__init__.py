"""Azure: state in Blob Storage under a lease, sign-in with Entra ID, and keys in Key Vault."""
