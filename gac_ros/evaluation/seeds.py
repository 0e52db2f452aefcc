"""Which seed each episode gets: one rule for both transports.

The sim's reset and the actor (its plan, or its random choices) share the episode's seed.
"""

from __future__ import annotations

from enum import IntEnum

from gac_ros.errors import ConfigurationError

EPISODES_PER_SEED = 1_000_003
# Starts that settings and checkpoints are chosen on, and those of online learning's own episodes,
# lie beyond every ordinary collection. No evaluation has them: its purpose is another.
_FIRST_TUNING_INDEX = 500_000
_FIRST_ONLINE_INDEX = 250_000
_FIRST_LIVE_INDEX = 375_000
# Up to here every episode's seed is below 2**53, so that it survives JSON.
LARGEST_SEED = 2**31 - 1
# The purposes that take turns; the benchmark's seeds lie above all of theirs.
_TAKING_TURNS = 3


class Purpose(IntEnum):
    """What a seed is for; the same `--seed` gives each purpose other ones.

    A model is therefore never evaluated on the very starts that its data were collected from, and
    the benchmark's figures are of starts that nobody looked at while choosing settings.
    """

    EVALUATE = 0
    COLLECT = 1
    REFERENCE = 2
    BENCHMARK = 3


def episode_seed(seed: int, index: int, purpose: Purpose = Purpose.EVALUATE) -> int:
    """Seed of episode `index` of a run: `(3 seed + purpose) * 1000003 + index`.

    That of the benchmark is `(3 * 2**31 + seed) * 1000003 + index`.

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
    if purpose is Purpose.BENCHMARK:
        block = _TAKING_TURNS * (LARGEST_SEED + 1) + seed
    else:
        block = _TAKING_TURNS * seed + purpose
    return block * EPISODES_PER_SEED + index


def tuning_seed(seed: int, index: int) -> int:
    """Seed of a start that choices are made on, such as which checkpoint to keep.

    What is reported is measured on others, those of `Purpose.EVALUATE`.

    Raises:
        ConfigurationError: as for `episode_seed`.
    """
    return episode_seed(seed, _FIRST_TUNING_INDEX + index, Purpose.COLLECT)


def online_seed(seed: int, index: int) -> int:
    """Seed of the episode `index` that online learning collects.

    Raises:
        ConfigurationError: as for `episode_seed`, or too many episodes.
    """
    return _seed_below(seed, _FIRST_ONLINE_INDEX + index, _FIRST_LIVE_INDEX)


def live_seed(seed: int, index: int) -> int:
    """Seed of the episode `index` in which a candidate is compared or tried on a running robot.

    Raises:
        ConfigurationError: as for `online_seed`.
    """
    return _seed_below(seed, _FIRST_LIVE_INDEX + index, _FIRST_TUNING_INDEX)


def _seed_below(seed: int, index: int, end: int) -> int:
    if index >= end:
        raise ConfigurationError("too many episodes for one run; start another")
    return episode_seed(seed, index, Purpose.COLLECT)
