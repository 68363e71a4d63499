"""The contract step: archive a legacy column, drop it, and bring it back when asked."""
