"""When to plan again during an episode, and how: an addition to the paper, off by default."""
