"""Curating tags: acts that keep names unique and counts exact, each logged, each undoable once."""
