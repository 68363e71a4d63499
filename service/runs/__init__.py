"""Runs over HTTP: asking for them, looking at them, and steering them; workers do them."""
