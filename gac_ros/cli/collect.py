"""`gac collect`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import episode_progress, make_console
from gac_ros.cli.options import CheckpointPath, Device, EpisodeCount, Mjcf, ModeName, Robot, Seed


class BehaviourName(str, Enum):
    """Who acts."""

    WAYPOINT = "waypoint"
    RANDOM = "random"
    CHECKPOINT = "checkpoint"


class GoalName(str, Enum):
    """Where the waypoint behaviour drives."""

    RANDOM = "random"
    FIXED = "fixed"


Behaviour = Annotated[
    BehaviourName,
    typer.Option(
        "--behaviour",
        help="waypoint: a noisy controller that drives through a maze. random: random "
        "actions. checkpoint: a trained policy.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", help="Buffer folder; episodes are added to those already there.")
]
Goal = Annotated[
    GoalName,
    typer.Option(
        "--goal",
        help="Where 'waypoint' drives. random: to a cell drawn for each episode, "
        "sub-optimal on purpose. fixed: to the maze's goal, the expert.",
    ),
]
Noise = Annotated[
    float,
    typer.Option(
        "--noise",
        min=0.0,
        help="Standard deviation of the noise on 'waypoint' actions, 1 is full force.",
    ),
]
Mode = Annotated[ModeName, typer.Option("--mode", help="How plans are made with 'checkpoint'.")]


def collect(
    robot: Robot,
    behaviour: Behaviour,
    episodes: EpisodeCount,
    out: Out,
    seed: Seed = 0,
    goal: Goal = GoalName.RANDOM,
    noise: Noise = 0.2,
    checkpoint: CheckpointPath = None,
    mode: Mode = ModeName.EXPLORE,
    mjcf: Mjcf = None,
    device: Device = "cpu",
) -> None:
    """Record episodes of a simulated robot as bags to train from.

    Runs in this process, faster than real time, with the controller's own loop. Every episode is
    a rosbag2 bag that appears when it is complete: the command can be interrupted at any time,
    and repeated with another seed to add more.

    Example: `gac collect --robot pointmaze_umaze --behaviour waypoint --episodes 200
    --out episodes/umaze`
    """
    from gac_ros.evaluation.collect import CollectionRequest
    from gac_ros.evaluation.collect import collect as run
    from gac_ros.evaluation.intervals import mean

    with episode_progress(episodes, "collecting") as on_episode:
        results = run(
            CollectionRequest(
                robot=robot,
                behaviour=behaviour.value,
                episodes=episodes,
                out=out,
                seed=seed,
                checkpoint=checkpoint,
                mode=mode.value,
                goal=goal.value,
                noise=noise,
                mjcf=mjcf,
                device=device,
            ),
            on_episode,
        )
    returns = [r.episode_return for r in results if r.episode_return is not None]
    steps = sum(r.length for r in results)
    console = make_console()
    line = f"{len(results)} episodes, {steps} steps"
    if returns:
        line += f", mean return {mean(returns):.1f}, best {max(returns):.1f}"
    console.print(line)
    console.print(f"Bags: {out}   (gac buffer ls {out})", soft_wrap=True)
