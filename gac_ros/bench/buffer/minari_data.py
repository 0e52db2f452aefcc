"""Write a buffer as a Minari data set: `python -m gac_ros.bench.buffer.minari_data BAGS FOLDER`.

In a process of its own, as Minari takes its folder from the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from gac_ros.bench.buffer.loading import MINARI_NAME
from gac_ros.buffer.dataset import EpisodeBuffer


def main(bags: str, folder: str) -> None:
    """Write every episode, as HDF5."""
    os.environ["MINARI_DATASETS_PATH"] = folder
    import minari
    from gymnasium.spaces import Box
    from minari.data_collector.episode_buffer import EpisodeBuffer as MinariEpisode

    buffer = EpisodeBuffer.open(Path(bags))

    def space(size: int) -> Box:
        return Box(-np.inf, np.inf, (size,), np.float64)

    minari.create_dataset_from_buffers(
        MINARI_NAME,
        [
            MinariEpisode(
                observations=episode.observations,
                actions=episode.actions,
                rewards=list(episode.rewards),
                terminations=[False] * len(episode),
                truncations=[False] * (len(episode) - 1) + [True],
            )
            for episode in buffer
        ],
        observation_space=space(buffer.arrays.observations.shape[1]),
        action_space=space(buffer.arrays.actions.shape[1]),
        data_format="hdf5",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
