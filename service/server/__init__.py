"""The server's processes: one supervisor that owns the port, and workers that answer."""
