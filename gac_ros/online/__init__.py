"""Online learning: explore, fine-tune, exploit, round after round, from a buffer of bags."""
