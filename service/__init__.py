"""The HTTP service: tag autocomplete, search and administration. Empty until it arrives; `migrator` does not need it."""
