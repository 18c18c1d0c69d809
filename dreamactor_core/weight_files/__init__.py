"""Checkpoints of any layout, recognised by their headers."""
