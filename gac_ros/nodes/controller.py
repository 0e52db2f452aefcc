"""The executable `controller`: the lifecycle node `gac_controller` as a process."""

from __future__ import annotations

import argparse
import sys

from gac_ros.garbage import no_search_at_the_end, no_search_while_loading
from gac_ros.nodes.signals import StopRequest

_DESCRIPTION = """\
Lifecycle node that drives a robot with a GAC policy and records every episode as a bag.

Everything is set by ROS parameters, for example
  controller --ros-args -p robot:=pointmaze_umaze -p record.directory:=episodes -p autostart:=true
`ros2 param describe /gac_controller NAME` explains a parameter; config/controller.yaml lists all.
"""


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or SIGHUP.

    Returns:
        0 after an orderly stop, 1 after a defect, 2 after a user's mistake.
    """
    stop = StopRequest()
    argv = sys.argv[1:] if args is None else args
    own = argv[: argv.index("--ros-args")] if "--ros-args" in argv else argv
    parser = argparse.ArgumentParser(
        prog="controller",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ros-args", nargs="*", help="ROS arguments: parameters, remappings, ...")
    parser.parse_args(own)
    # PyTorch takes seconds to load: only after the signals are heeded, so that a Ctrl-C in the
    # meantime ends in an orderly way, too.
    with no_search_while_loading():
        from gac_ros.nodes.process import run
    no_search_at_the_end()

    return run(argv, stop)


if __name__ == "__main__":
    sys.exit(main())
