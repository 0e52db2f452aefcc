"""How well methods learn offline: the same data, the same starts, one JSON file a run."""
