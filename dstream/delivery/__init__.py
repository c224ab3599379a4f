"""Delivery: plans and drift where reviewers read them, in the forge of a repository."""
