"""Finding songs by tags and title: an index in process, and the same answers from PostgreSQL alone."""
