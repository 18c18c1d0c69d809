"""From picture and clip to a file."""
