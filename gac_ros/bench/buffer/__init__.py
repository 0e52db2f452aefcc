"""Measures the episode buffer: how fast bags are decoded, and how soon a training can start."""
