"""Policy evaluation: learn the joint model from episodes."""
