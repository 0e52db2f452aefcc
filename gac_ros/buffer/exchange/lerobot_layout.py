"""Names and places of LeRobot data sets, version 3 (https://huggingface.co/docs/lerobot)."""

from __future__ import annotations

from typing import Any

from gac_ros.errors import ConfigurationError

VERSION = "v3.0"
INFO_FILE = "meta/info.json"
STATISTICS_FILE = "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
EPISODES_FOLDER = "meta/episodes"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
# What this package adds; LeRobot leaves it alone.
OWN_FILE = "meta/gac.json"
OWN_EPISODE = "gac.episode"
FINAL_OBSERVATION = "gac.final_observation"

STATE = "observation.state"
ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"
SUCCESS = "next.success"
TERMINATED = "next.terminated"
TRUNCATED = "next.truncated"
VALID = "gac.valid"

FILES_IN_A_CHUNK = 1000
MEGABYTES_IN_A_FILE = 100


def require_pyarrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        ConfigurationError: they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            "LeRobot data sets need pyarrow; install gac_ros with its 'lerobot' extra"
        ) from error
    return pyarrow, pyarrow.parquet
