"""Lets the tests of this folder import `exchanges` and `episode_bags`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
