"""The HTTP service: tag autocomplete, search and administration. Empty until it arrives; migrations work without."""
