"""The migrations: one file each, found by discovery; a file defines `MIGRATION`."""
