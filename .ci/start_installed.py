"""Start the built nodes once each from a colcon install space and stop them as a user would.

Each one is up when it answers a service call, so it has been constructed and spins; then it gets a
Ctrl-C and must end with exit code 0.

    python .ci/start_installed.py INSTALL_SPACE
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# The nodes and this watcher share a ROS domain of their own, and this machine only.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

NODES = {"controller": "gac_controller", "sim": "sim"}
ROBOT = "pointmaze_umaze"  # what both drive when nothing is said
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0


def installed(space: Path, command: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Run a shell command as after `source setup.bash`, in a process group of its own.

    Not in the checkout: there, the checkout's own package would be found first.
    """
    return subprocess.Popen(
        ["bash", "-c", f'source "$0/setup.bash" && exec {command}', str(space), *arguments],
        cwd=space,
        # A shell's background jobs ignore Ctrl-C, and what they start would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )


def check_origin(space: Path) -> None:
    """Fail unless the install space's own copy of the package is the one that is imported."""
    program = (
        "import pathlib, sys, gac_ros;"
        "here = pathlib.Path(gac_ros.__file__).resolve(); print(f'gac_ros is {here}');"
        "sys.exit(not here.is_relative_to(sys.argv[1]))"
    )
    if installed(space, '"$1" -c "$2" "$0"', sys.executable, program).wait() != 0:
        sys.exit("what is imported in the install space is not the package built there")


def start_and_stop(watcher: Node, space: Path, executable: str, name: str) -> None:
    """Start an executable, wait until its node answers, send Ctrl-C, check the exit code."""
    path = space / "gac_ros" / "lib" / "gac_ros" / executable
    if not path.is_file():
        sys.exit(f"{path} was not built")
    began = time.monotonic()
    process = installed(space, '"$1" --ros-args --log-level warn', str(path))
    client = watcher.create_client(GetParameters, f"/{name}/get_parameters")
    try:

        def starting() -> None:
            if process.poll() is not None:
                sys.exit(f"{executable} ended with exit code {process.returncode} while starting")
            if time.monotonic() - began > START_TIMEOUT:
                sys.exit(f"{executable}: /{name} did not answer within {START_TIMEOUT:.0f} s")

        while not client.wait_for_service(timeout_sec=0.2):
            starting()
        answer = client.call_async(GetParameters.Request(names=["robot"]))
        while not answer.done():
            rclpy.spin_until_future_complete(watcher, answer, timeout_sec=0.2)
            starting()
        robot = answer.result().values[0].string_value
        if robot != ROBOT:
            sys.exit(f"{executable}: parameter robot is {robot!r}, not {ROBOT!r}")

        up = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            sys.exit(f"{executable} was still there {STOP_TIMEOUT:.0f} s after Ctrl-C")
        if code != 0:
            sys.exit(f"{executable} ended with exit code {code} after Ctrl-C, not 0")
        print(
            f"{executable}: /{name} ({robot}) answered after {up - began:.1f} s, "
            f"ended {time.monotonic() - up:.1f} s after Ctrl-C with exit code 0",
            flush=True,
        )
    finally:
        watcher.destroy_client(client)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    """Check the install space that the first argument names."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    space = Path(sys.argv[1]).resolve()
    os.environ.setdefault("ROS_LOG_DIR", str(space.parent / "log" / "ros"))
    check_origin(space)
    rclpy.init()
    watcher = rclpy.create_node("install_space_watcher")
    try:
        for executable, name in NODES.items():
            start_and_stop(watcher, space, executable, name)
    finally:
        watcher.destroy_node()
        rclpy.shutdown()


if __name__ == "__main__":
    main()
