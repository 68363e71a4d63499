"""The commands that the serving side adds to `segue`; migrator/cli.py finds them by their entry points."""
