"""Trust: whose signature a provider needs, and whether it has it."""
