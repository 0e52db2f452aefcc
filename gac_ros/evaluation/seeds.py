"""Which seed each episode gets: one rule for both transports.

The sim's reset and the actor (its plan, or its random choices) share the episode's seed.
"""

from __future__ import annotations

from enum import IntEnum

from gac_ros.errors import ConfigurationError

EPISODES_PER_SEED = 1_000_003
# Up to here every episode's seed is below 2**53, so that it survives JSON.
LARGEST_SEED = 2**31 - 1


class Purpose(IntEnum):
    """What a seed is for; the same `--seed` gives each purpose other ones.

    A model is therefore never evaluated on the very starts that its data were collected from.
    """

    EVALUATE = 0
    COLLECT = 1
    REFERENCE = 2


def episode_seed(seed: int, index: int, purpose: Purpose = Purpose.EVALUATE) -> int:
    """Seed of episode `index` of a run: `(3 seed + purpose) * 1000003 + index`.

    Args:
        seed: what the user gave as `--seed`.
        index: episode of the run, from 0.
        purpose: what the run is for.

    Raises:
        ConfigurationError: the seed or the index is out of range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigurationError(f"the seed {seed} is not between 0 and {LARGEST_SEED}")
    if not 0 <= index < EPISODES_PER_SEED:
        raise ConfigurationError(
            f"a run has at most {EPISODES_PER_SEED} episodes; start another with another seed"
        )
    return (len(Purpose) * seed + purpose) * EPISODES_PER_SEED + index
