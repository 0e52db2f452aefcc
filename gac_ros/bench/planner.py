"""Ticks of a control loop while a slow planner works: in no place, in a thread, in a process.

Each arrangement runs the same actor at a fixed rate, with plans made again without a pause. A tick
is missed when its action is not there before the next tick is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.checkpoint import Checkpoint
from gac_ros.policy import GacActor
from gac_ros.replanning.actor import Advisor, ReplanningActor
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.process import PlanningProcess
from gac_ros.replanning.replanner import Replanner
from gac_ros.replanning.situation import Advice, Situation

PLACES = ("nowhere", "thread", "process")
_WITHOUT_PAUSE = ReplanningConfig(when="periodic", period=1, rest=0, margin=0.0)


class Ticks(BaseModel):
    """How the loop did with the planner in one place.

    Attributes:
        planner: where it worked.
        ticks: how many there were.
        missed: those whose action was late for the next tick.
        looks: answers of the planner that came.
        microseconds: median, p99 and longest time from a tick's due time to its action.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    planner: str
    ticks: int
    missed: int
    looks: int
    microseconds: tuple[float, float, float]


def measure_ticks(
    checkpoint: Checkpoint,
    *,
    rate: float,
    seconds: float,
    slowdown: float,
    on_place: Callable[[], None] = lambda: None,
) -> list[Ticks]:
    """Run the loop with each arrangement.

    Args:
        checkpoint: loaded from the disk.
        rate: ticks a second.
        seconds: of each arrangement.
        slowdown: seconds of computing added to each plan.
        on_place: called after each.
    """
    found = []
    for place in PLACES:
        with _actor(place, checkpoint, slowdown) as actor:
            found.append(_run(place, actor, checkpoint, rate, seconds))
        on_place()
    return found


def goals(found: list[Ticks], rate: float, slowdown: float) -> list[SpeedGoal]:
    """No tick is missed with the planner where the controller has it."""
    (process,) = (ticks for ticks in found if ticks.planner == "process")
    name = f"ticks missed of {process.ticks} at {rate:g} Hz, planner slowed to {slowdown:g} s"
    return [at_most(name, process.missed, 0)]


class _ThreadAdvisor:
    """What the controller does not do: plan in a thread of the control loop's process."""

    at_once = False

    def __init__(self, replanner: Replanner, slowdown: float) -> None:
        self._replanner = replanner
        self._slowdown = slowdown
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._future: Future[Advice] | None = None

    @property
    def busy(self) -> bool:
        return self._future is not None

    def ask(self, situation: Situation) -> None:
        self._future = self._pool.submit(self._consider, situation)

    def _consider(self, situation: Situation) -> Advice:
        end = time.monotonic() + self._slowdown
        while True:  # as slow as the process, by planning again and again
            advice = self._replanner.consider(situation)
            if time.monotonic() >= end:
                return advice

    def answer(self) -> Advice | None:
        if self._future is None or not self._future.done():
            return None
        advice, self._future = self._future.result(), None
        return advice

    def forget(self) -> None:
        if self._future is not None:
            self._future.result()
            self._future = None

    def close(self) -> None:
        self._pool.shutdown(wait=True)


@contextmanager
def _actor(place: str, checkpoint: Checkpoint, slowdown: float) -> Iterator[GacActor]:
    planner, policy = checkpoint.make_planner(), checkpoint.make_policy()
    policy.warm_up()

    def replanning(advisor: Advisor) -> ReplanningActor:
        return ReplanningActor(checkpoint, planner, policy, "explore", advisor, _WITHOUT_PAUSE)

    if place == "nowhere":
        yield GacActor(planner, policy, "explore")
    elif place == "thread":
        thread = _ThreadAdvisor(Replanner(checkpoint, _WITHOUT_PAUSE), slowdown)
        try:
            yield replanning(thread)
        finally:
            thread.close()
    else:
        assert checkpoint.path is not None
        process = PlanningProcess(checkpoint.path, "cpu", _WITHOUT_PAUSE, slowdown=slowdown)
        with process:
            process.wait_until_ready()
            yield replanning(process)


def _run(place: str, actor: GacActor, checkpoint: Checkpoint, rate: float, seconds: float) -> Ticks:
    normalizer = checkpoint.normalizer
    random = np.random.default_rng(0)
    noise = random.normal(size=(round(rate * seconds), len(normalizer.observation_mean)))
    observations = normalizer.observation_mean + normalizer.observation_std * noise
    actor.begin(0)
    late = np.zeros(len(observations))
    begin = time.perf_counter() + 1.0 / rate
    for index, observation in enumerate(observations):
        due = begin + index / rate
        wait = due - time.perf_counter()
        if wait > 0.0:
            time.sleep(wait)
        action = actor.act(observation)
        if isinstance(actor, ReplanningActor):
            actor.executed(action)
        late[index] = time.perf_counter() - due
    median, p99 = np.percentile(late, [50, 99])
    return Ticks(
        planner=place,
        ticks=len(late),
        missed=int((late > 1.0 / rate).sum()),
        looks=actor.looks if isinstance(actor, ReplanningActor) else 0,
        microseconds=(1e6 * median, 1e6 * p99, 1e6 * float(late.max())),
    )
