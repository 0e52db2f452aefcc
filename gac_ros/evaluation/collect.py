"""Collect episodes as bags, with a behaviour or with a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gac_ros.buffer.writer import check_writable
from gac_ros.control import Actor
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.evaluation.seeds import Purpose, episode_seed
from gac_ros.sim import make_robot
from gac_ros.sim.behaviours import COLLECTION_NOISE, RandomBehaviour, WaypointBehaviour
from gac_ros.sim.maze import find_maze, maze_names

if TYPE_CHECKING:
    from gac_ros.embodiment import Embodiment
    from gac_ros.planning import Mode
    from gac_ros.sim.robot import SimulatedRobot

Behaviour = Literal["waypoint", "random", "checkpoint"]


@dataclass(frozen=True)
class CollectionRequest:
    """What to collect and how.

    Attributes:
        robot: packaged name or path of an embodiment file.
        behaviour: who acts.
        episodes: how many.
        out: buffer directory; episodes are added to those it holds.
        seed: as `--seed`; see `episode_seed`.
        checkpoint: for the behaviour `checkpoint`; None for the packaged one.
        mode: how its plans are made.
        goal: where the waypoint behaviour drives: a random cell each episode, or the maze's goal.
        noise: standard deviation of the noise on its actions.
        mjcf: physics, for a robot that is not packaged.
        device: where the model runs.
    """

    robot: str
    behaviour: Behaviour
    episodes: int
    out: Path
    seed: int = 0
    checkpoint: Path | None = None
    mode: Mode = "explore"
    goal: Literal["random", "fixed"] = "random"
    noise: float = COLLECTION_NOISE
    mjcf: Path | None = None
    device: str = "cpu"


def collect(
    request: CollectionRequest, on_episode: Callable[[EpisodeResult], None] | None = None
) -> list[EpisodeResult]:
    """Run and record the episodes; each is complete in `out` as soon as it ends.

    Args:
        request: what to collect.
        on_episode: called after each episode, for a progress display.

    Raises:
        ConfigurationError: an option or the robot is wrong.
        CheckpointError: there is no usable checkpoint.
        OutputError: `out` cannot be written.
    """
    robot = make_robot(request.robot, mjcf=None if request.mjcf is None else str(request.mjcf))
    check_writable(request.out)
    if request.behaviour != "checkpoint":
        actor, description = _make_behaviour(request, robot.embodiment)
        return _run(request, robot, actor, description, on_episode)
    # torch is only needed here.
    from gac_ros.evaluation.evaluate import describe_actor, load_checkpoint_for, make_actor
    from gac_ros.evaluation.threads import one_thread

    checkpoint = load_checkpoint_for(robot.embodiment, request.checkpoint, request.device)
    description = describe_actor(checkpoint, request.mode)
    with one_thread():
        return _run(request, robot, make_actor(checkpoint, request.mode), description, on_episode)


def _run(
    request: CollectionRequest,
    robot: SimulatedRobot,
    actor: Actor,
    description: ActorDescription,
    on_episode: Callable[[EpisodeResult], None] | None,
) -> list[EpisodeResult]:
    results = []
    for index in range(request.episodes):
        seed = episode_seed(request.seed, index, Purpose.COLLECT)
        results.append(run_episode(robot, actor, seed, description, directory=request.out))
        if on_episode is not None:
            on_episode(results[-1])
    return results


def _make_behaviour(
    request: CollectionRequest, embodiment: Embodiment
) -> tuple[Actor, ActorDescription]:
    if request.checkpoint is not None:
        raise ConfigurationError(
            f"the behaviour '{request.behaviour}' uses no checkpoint; leave --checkpoint out or "
            "use --behaviour checkpoint"
        )
    if request.behaviour == "random":
        return RandomBehaviour(embodiment), ActorDescription("random")
    if embodiment.name not in maze_names():
        raise ConfigurationError(
            f"the waypoint behaviour knows its way in mazes only ({', '.join(maze_names())}), not "
            f"on '{embodiment.name}'; use --behaviour random or checkpoint"
        )
    maze = find_maze(embodiment.name)
    actor = WaypointBehaviour(embodiment, maze, goal=request.goal, noise=request.noise)
    return actor, ActorDescription("waypoint")
