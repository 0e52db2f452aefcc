"""The `gac` command line."""

from __future__ import annotations

from collections.abc import Sequence

INTERRUPTED = 130  # the shell's exit code for a SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; see `cli.app.main`.

    Its commands take a second to load: a Ctrl-C meanwhile ends as quietly as one later.
    """
    try:
        from gac_ros.cli.app import main as run
    except KeyboardInterrupt:
        return INTERRUPTED
    return run(arguments)
