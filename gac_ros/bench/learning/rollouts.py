"""Evaluate an actor on given starts: the package's control loop, in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.bench.stopwatch import Stopwatch, Times
from gac_ros.control import Actor
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.sim import make_robot
from gac_ros.sim.robot import SimulatedRobot

if TYPE_CHECKING:
    from gac_ros.planning import Mode, Plan

OnEpisode = Callable[[EpisodeResult], None]
# Small enough that the progress is seen, large enough that loading the model does not count.
_EPISODES_A_SHARE = 5


@dataclass
class Rollouts:
    """Evaluated episodes and the time they took."""

    results: list[EpisodeResult] = field(default_factory=list)
    planning: Times = field(default_factory=Times)
    evaluation: Times = field(default_factory=Times)


class _TimedActor:
    """An actor whose `begin`, where plans are made, is timed."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self.planning = Times()

    @property
    def plan(self) -> Plan | None:
        return getattr(self._actor, "plan", None)

    def begin(self, seed: int) -> None:
        watch = Stopwatch()
        self._actor.begin(seed)
        self.planning += watch.read()

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._actor.act(observation)


def roll_out(
    robot: SimulatedRobot,
    actor: Actor,
    seeds: Sequence[int],
    description: ActorDescription,
    on_episode: OnEpisode = lambda result: None,
) -> Rollouts:
    """Run one episode for each seed, here."""
    done = Rollouts()
    timed = _TimedActor(actor)
    watch = Stopwatch()
    for seed in seeds:
        done.results.append(run_episode(robot, timed, seed, description))
        on_episode(done.results[-1])
    done.planning = timed.planning
    done.evaluation = watch.read() - timed.planning
    return done


@dataclass(frozen=True)
class ModelActor:
    """How to make a model's actor, in whichever process.

    Attributes:
        robot: packaged robot.
        checkpoint: its directory.
        mode: how plans are made.
        planner: changes to the checkpoint's planner.
    """

    robot: str
    checkpoint: Path
    mode: Mode
    planner: Mapping[str, Any]


def roll_out_model(
    model: ModelActor,
    seeds: Sequence[int],
    *,
    processes: int = 1,
    on_episode: OnEpisode = lambda result: None,
) -> Rollouts:
    """Run one episode for each seed with a trained model.

    Args:
        model: who acts.
        seeds: of the episodes; the results have their order.
        processes: how many run at the same time. The episodes do not depend on it.
        on_episode: told of each episode, in order.
    """
    done = Rollouts()
    with closing(_shares(model, seeds, processes)) as shares:
        for share in shares:
            for result in share.results:
                on_episode(result)
            done.results += share.results
            done.planning += share.planning
            done.evaluation += share.evaluation
    return done


def _shares(
    model: ModelActor, seeds: Sequence[int], processes: int
) -> Generator[Rollouts, None, None]:
    pieces = [
        seeds[first : first + _EPISODES_A_SHARE]
        for first in range(0, len(seeds), _EPISODES_A_SHARE)
    ]
    if processes == 1:
        for piece in pieces:
            yield _run_share(model, piece)
        return
    # Not forked: threads of this process's libraries would not be there in a copy.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield from pool.map(_run_share, [model] * len(pieces), pieces)
    finally:
        pool.shutdown(cancel_futures=True)


def _run_share(model: ModelActor, seeds: Sequence[int]) -> Rollouts:
    from gac_ros.checkpoint import load_checkpoint
    from gac_ros.evaluation.evaluate import describe_actor
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.policy import GacActor

    robot = make_robot(model.robot)
    checkpoint = load_checkpoint(model.checkpoint)
    checkpoint.require_embodiment(robot.embodiment)
    with one_thread():
        policy = checkpoint.make_policy()
        policy.warm_up()
        actor = GacActor(checkpoint.make_planner(**model.planner), policy, model.mode)
        return roll_out(robot, actor, seeds, describe_actor(checkpoint, model.mode))
