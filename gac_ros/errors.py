"""One error tree: every failure a user can cause, each with a message that names the remedy.

The command line and the nodes turn a `GacError` into one line and a non-zero exit code. Anything
else that is raised is a defect of this package and keeps its traceback.
"""


class GacError(Exception):
    """Base of every error that a user can cause and mend."""

    exit_code = 2


class ConfigurationError(GacError):
    """A configuration file or option is wrong."""


class EmbodimentError(ConfigurationError):
    """An embodiment file is wrong, or two embodiments that should fit do not."""


class UnknownRobotError(ConfigurationError):
    """No robot of that name is known."""


class DecodeError(GacError):
    """A message does not hold what the embodiment promises (a joint or an element is missing)."""


class CheckpointError(GacError):
    """A checkpoint is missing, damaged, of a foreign format, or does not fit the robot."""


class EpisodeError(GacError):
    """A recorded episode is missing, incomplete or damaged."""


class OutputError(GacError):
    """An output folder or file cannot be written."""


class TransportError(GacError):
    """A process on the other end of the ROS graph did not answer in time or ended early."""
