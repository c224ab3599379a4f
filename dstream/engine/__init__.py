"""Operations: plan, apply, destroy, drift, lint, status, each on a configuration, its state and its providers."""
