"""One way to load a data set, in a process of its own: `python -m gac_ros.bench.buffer.loading`.

Prints what it took as JSON. Importing libraries does not count.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros.bench.stopwatch import Stopwatch
from gac_ros.embodiment import embodiment_from_dict
from gac_ros.messages import typestore
from gac_ros.observation import ChannelDecoder

Arrays = dict[str, NDArray[np.float64]]  # observations (sum(T+1), O), actions, rewards

MINARI_NAME = "gac_ros/bench-v0"


def load_with_gac_ros(folder: Path) -> Callable[[], Arrays]:
    """`EpisodeBuffer.open`, and one batch of training windows."""
    from gac_ros.buffer.dataset import EpisodeBuffer

    def load() -> Arrays:
        buffer = EpisodeBuffer.open(folder)
        chosen = np.arange(0, len(buffer), max(1, len(buffer) // 32))
        buffer.windows(chosen, np.zeros((len(chosen), 8), dtype=np.int64), burn_in=8, length=8)
        return {
            "observations": buffer.arrays.observations,
            "actions": buffer.arrays.actions,
            "returns": buffer.returns,
        }

    return load


def load_with_rosbags(folder: Path) -> Callable[[], Arrays]:
    """A loop over the bags as one would write it with rosbags alone."""
    from rosbags.rosbag2 import Reader

    from gac_ros.buffer.reader import read_metadata

    def load() -> Arrays:
        store = typestore()
        observations, actions, returns = [], [], []
        for bag in sorted(path for path in folder.iterdir() if path.name[0] != "."):
            metadata = read_metadata(bag)
            robot = embodiment_from_dict(metadata.embodiment, origin=bag.name)
            (channel,) = robot.observation
            decode = ChannelDecoder(channel).decode
            observed, acted = metadata.topics[channel.topic], metadata.topics[robot.action.topic]
            earned = 0.0
            with Reader(bag) as reader:
                for connection, _, data in reader.messages():
                    message = store.deserialize_cdr(data, connection.msgtype)
                    if connection.topic == observed:
                        observations.append(decode(message))
                    elif connection.topic == acted:
                        actions.append(message.data)  # type: ignore[attr-defined]
                    elif connection.topic == metadata.topics["reward"]:
                        earned += message.data  # type: ignore[attr-defined]
            returns.append(earned)
        return {
            "observations": np.array(observations),
            "actions": np.array(actions),
            "returns": np.array(returns),
        }

    return load


def load_with_minari(folder: Path) -> Callable[[], Arrays]:
    """Minari's own loading of a data set, all episodes into arrays."""
    import os

    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    import minari

    def load() -> Arrays:
        episodes = list(minari.load_dataset(MINARI_NAME).iterate_episodes())
        return {
            "observations": np.concatenate([episode.observations for episode in episodes]),
            "actions": np.concatenate([episode.actions for episode in episodes]),
            "returns": np.array([episode.rewards.sum() for episode in episodes]),
        }

    return load


WAYS: dict[str, Callable[[Path], Callable[[], Arrays]]] = {
    "gac_ros": load_with_gac_ros,
    "rosbags": load_with_rosbags,
    "minari": load_with_minari,
}


def main(way: str, folder: str) -> None:
    """Load, and print what it took."""
    load = WAYS[way](Path(folder))
    before = _peak()
    watch = Stopwatch()
    arrays = load()
    times = watch.read()
    peak = _peak()
    numbers = hashlib.sha256()
    for name in ("observations", "actions"):
        numbers.update(np.ascontiguousarray(arrays[name]).data)
    print(
        json.dumps(
            {
                "wall": times.wall,
                "cpu": times.cpu,
                "memory_before": before,
                "memory_peak": peak,
                "steps": len(arrays["actions"]),
                "mean_return": float(arrays["returns"].mean()),
                "numbers": numbers.hexdigest(),
            }
        )
    )


def _peak() -> int:
    """Largest resident memory of this process so far, bytes."""
    # Not from getrusage, whose figure includes what the parent had.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not tell the resident memory")


if __name__ == "__main__":
    main(*sys.argv[1:])
