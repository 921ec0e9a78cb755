"""A cache on the node for archives that are slow to reach, shared by all of its processes."""
