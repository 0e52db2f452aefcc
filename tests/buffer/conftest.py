"""Lets the tests of this folder import `episode_bags`; pytest's importlib mode adds no path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
