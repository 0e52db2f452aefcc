"""The `gac` command line."""

from gac_ros.cli.app import main

__all__ = ["main"]
