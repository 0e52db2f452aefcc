"""A running robot that follows a deployment: here, a simulated one in this process.

It does what the controller node does with the parameter `deployment`: between episodes it takes
whom the deployment names, a candidate computes beside who acts, and the deployment is told of
every episode.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.deployment.crew import Crew, Follower
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.deployment.shadow import Shadow, plan_in_shadow
from gac_ros.evaluation.evaluate import describe_actor, make_actor
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.evaluation.rollout import run_episode
from gac_ros.evaluation.threads import one_thread
from gac_ros.planning import Plan
from gac_ros.sim import make_robot


class LiveRobot(Protocol):
    """Runs episodes of exploitation with whoever acts in a deployment."""

    def run(self, seed: int, episodes: Path) -> EpisodeResult:
        """One episode, recorded in a folder; the deployment knows of it afterwards.

        Raises:
            GacError: the acting checkpoint cannot be used, or the bag not be written.
        """


class _ShadowedActor:
    """Acts with one checkpoint and has the actions of another compared."""

    def __init__(self, crew: Crew) -> None:
        self._acting = make_actor(crew.acting, "exploit")
        self.shadow: Shadow | None = None
        if crew.shadow is not None:
            policy = crew.shadow.make_policy()
            policy.warm_up()
            self._planner = crew.shadow.make_planner()
            self.shadow = Shadow(policy, crew.shadow.normalizer.action_half_range)

    @property
    def plan(self) -> Plan | None:
        return self._acting.plan

    def begin(self, seed: int) -> None:
        self._acting.begin(seed)
        if self.shadow is not None:
            self.shadow.begin(*plan_in_shadow(self._planner, "exploit", seed))

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        action = self._acting.act(observation)
        if self.shadow is not None:
            self.shadow.compare(observation, action)
        return action


class SimulatedLiveRobot:
    """A packaged simulated robot in this process.

    Args:
        folder: of the deployment it follows.
        robot: as for `make_robot`.
        mjcf: physics, for a robot that is not packaged.
        device: where the models run.
    """

    def __init__(
        self, folder: DeploymentFolder, robot: str, mjcf: Path | None, device: str
    ) -> None:
        self._robot = make_robot(robot, mjcf=None if mjcf is None else str(mjcf))
        self._follower = Follower(folder, self._robot.embodiment, device)
        self._crew: Crew | None = None

    def run(self, seed: int, episodes: Path) -> EpisodeResult:
        """See `LiveRobot`."""
        crew = self._follower.crew()
        with one_thread():
            if self._crew is None or crew.digests != self._crew.digests:
                self._crew, self._actor = crew, _ShadowedActor(crew)
            description = describe_actor(crew.acting, "exploit")
            result = run_episode(self._robot, self._actor, seed, description, directory=episodes)
        assert result.bag is not None
        shadow = self._actor.shadow
        comparison = None if shadow is None else shadow.result(result.bag.name)
        self._follower.episode_over(crew.acting.digest, result.episode_return, comparison)
        return result
