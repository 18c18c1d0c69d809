"""A small world of articulated 2-D characters where the truth of every animation is known."""
