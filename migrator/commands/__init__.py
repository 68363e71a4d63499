"""The commands of `segue`, one file for each group; `migrator.cli` puts them together."""
