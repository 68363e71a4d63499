"""Answers to data-protection requests: which tables hold something about a person, its export, its erasure."""
