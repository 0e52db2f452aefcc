"""Normalised scores: 0 is the random policy, 100 the reference expert.

For the mazes both ends are measured by this package (`python -m gac_ros.sim.scores`): random
actions, and the waypoint controller that knows the map. For the locomotion robots they are those
of D4RL. The numbers, and how they were come by, are in `reference_scores.yaml`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import yaml
from numpy.typing import NDArray

from gac_ros.errors import ConfigurationError, GacError, OutputError
from gac_ros.sim.behaviours import RandomBehaviour, WaypointBehaviour
from gac_ros.sim.maze import find_maze, maze_names

REFERENCE_FILE = Path(__file__).resolve().parent / "reference_scores.yaml"
_HEADER = """\
# The returns that count as 0 and as 100 on the scale of normalised scores.
# The mazes' are written by `python -m gac_ros.sim.scores`: random actions and the waypoint
# controller that drives to the goal without noise; episode i starts from seed + i.
# The locomotion robots' are D4RL's (https://github.com/Farama-Foundation/D4RL, d4rl/infos.py).
"""


@dataclass(frozen=True)
class MeasuredReturn:
    """Mean return over episodes; episode i starts from seed + i."""

    mean: float
    standard_error: float
    episodes: int
    seed: int


@dataclass(frozen=True)
class ReferenceScores:
    """The two ends of a robot's scale."""

    random: MeasuredReturn
    expert: MeasuredReturn


@overload
def normalized_score(robot: str, returns: float) -> float | None: ...
@overload
def normalized_score(robot: str, returns: NDArray[np.float64]) -> NDArray[np.float64] | None: ...
def normalized_score(
    robot: str, returns: float | NDArray[np.float64]
) -> float | NDArray[np.float64] | None:
    """Score of one return or of each of an array; None for a robot without references."""
    references = _references().get(robot)
    if references is None:
        return None
    random, expert = references["random"]["mean"], references["expert"]["mean"]
    return 100.0 * (returns - random) / (expert - random)


def measure_reference_scores(robot: str, episodes: int, seed: int) -> ReferenceScores:
    """Run the random policy and the waypoint expert in a maze.

    Raises:
        ConfigurationError: the robot does not live in a maze.
    """
    from gac_ros.sim import make_env

    maze = find_maze(robot)
    env = make_env(robot)
    embodiment = env.robot.embodiment

    def measure(actor: RandomBehaviour | WaypointBehaviour) -> MeasuredReturn:
        returns = np.zeros(episodes)
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed + episode)
            actor.begin(seed + episode)
            over = False
            while not over:
                observation, reward, terminated, truncated, _ = env.step(actor.act(observation))
                returns[episode] += reward
                over = terminated or truncated
        error = float(returns.std(ddof=1) / np.sqrt(episodes))
        return MeasuredReturn(round(float(returns.mean()), 3), round(error, 3), episodes, seed)

    return ReferenceScores(
        random=measure(RandomBehaviour(embodiment)),
        expert=measure(WaypointBehaviour(embodiment, maze, goal="fixed", noise=0.0)),
    )


def write_reference_scores(robot: str, scores: ReferenceScores, path: Path) -> None:
    """Put a robot's references into the file and leave the others as they are.

    Raises:
        OutputError: the file cannot be written.
    """
    content = _read(path) if path.exists() else {}
    content[robot] = {"source": "measured", **asdict(scores)}
    try:
        path.write_text(_HEADER + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}); give another --file") from error
    _references.cache_clear()


@lru_cache(maxsize=1)
def _references() -> dict[str, Any]:
    return _read(REFERENCE_FILE)


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def main(args: list[str] | None = None) -> int:
    """Measure the mazes' references anew and write them to the file."""
    parser = argparse.ArgumentParser(
        prog="python -m gac_ros.sim.scores",
        description="Measure the returns that count as 0 and 100 and write them to a file.",
    )
    parser.add_argument("robots", nargs="*", default=maze_names(), help="default: every maze")
    parser.add_argument("--episodes", type=int, default=400, help="episodes each (default 400)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="seed of the first episode")
    parser.add_argument("--file", type=Path, default=REFERENCE_FILE, help="file to write")
    options = parser.parse_args(args)
    try:
        if options.episodes < 2:
            raise ConfigurationError("--episodes must be at least 2, for a standard error")
        for robot in options.robots:
            scores = measure_reference_scores(robot, options.episodes, options.seed)
            write_reference_scores(robot, scores, options.file)
            print(
                f"{robot}: random {scores.random.mean:.1f} ± {scores.random.standard_error:.1f}, "
                f"expert {scores.expert.mean:.1f} ± {scores.expert.standard_error:.1f}"
            )
    except GacError as error:
        print(f"scores: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
