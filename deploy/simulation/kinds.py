"""Names of what happens in a seed, faults and others."""

STORY = "story: "
"""What the names of those begin with that are no faults."""
