"""Trust: the signatures that providers need, and their verification."""
