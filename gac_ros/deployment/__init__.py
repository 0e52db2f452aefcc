"""Which checkpoint acts on a running robot, and how a better one takes over."""
