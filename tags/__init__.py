"""The domain that migration and service share: what a tag's name is, and the starter vocabulary."""
