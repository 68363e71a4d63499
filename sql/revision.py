"""The newest revision, as a constant: reading it through Alembic would cost every command its import."""

LATEST = "0012"
