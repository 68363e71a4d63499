"""Autocomplete of tags from memory: an immutable index, a small delta on top of it, and hard bands of ranking."""
