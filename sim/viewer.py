"""A window in which MuJoCo shows a simulated robot."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from gac_ros.errors import ConfigurationError

_PERIOD = 1.0 / 30.0  # s


class Viewer:
    """An open window.

    Args:
        robot: with MuJoCo's `model` and `data`.

    Raises:
        ConfigurationError: no window can be opened here.
    """

    def __init__(self, robot: Any) -> None:
        try:
            # MuJoCo ends the whole process when GLFW finds no display, so ask GLFW before.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if not importlib.import_module("glfw").init():
                    raise OSError("GLFW finds no display")
            viewer = importlib.import_module("mujoco.viewer")
            self._window = viewer.launch_passive(robot.model, robot.data)
        except Exception as error:  # GLFW and OpenGL fail in many ways
            raise ConfigurationError(f"no viewer window ({error})") from error
        self._synced = 0.0

    def sync(self, now: float) -> None:
        """Show the present state, if the last one is old enough; `now` in seconds."""
        if now - self._synced >= _PERIOD:
            self._synced = now
            self._window.sync()

    def close(self) -> None:
        """Close the window."""
        self._window.close()
