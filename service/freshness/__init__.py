"""Keeping every server process up to date: reading tags, relaying writers' changes, following them."""
