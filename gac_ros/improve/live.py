"""A running robot that follows a deployment.

Over ROS that is the controller node with the parameter `deployment`. The one in this process does
the same: between episodes it takes whom the deployment names, a candidate computes beside who acts,
and the deployment is told of every episode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.deployment.crew import Crew, Follower
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.deployment.shadow import Shadow, plan_in_shadow
from gac_ros.errors import EpisodeError
from gac_ros.evaluation.evaluate import RunEpisode, describe_actor, make_actor
from gac_ros.evaluation.results import EpisodeResult
from gac_ros.evaluation.rollout import run_episode
from gac_ros.evaluation.threads import one_thread
from gac_ros.planning import Plan
from gac_ros.sim import make_robot


class LiveRobot(Protocol):
    """Runs episodes of exploitation with whoever acts in a deployment."""

    def run(
        self, episodes: Path, seeds: Iterator[int], over: Callable[[], bool]
    ) -> Iterator[float]:
        """Returns of episodes that are recorded in a folder, until it is over.

        Args:
            episodes: the folder.
            seeds: of the episodes, for a robot that is told them.
            over: asked before each; the deployment knows of an episode when it is returned.

        Raises:
            GacError: the acting checkpoint cannot be used, a bag not be written, or an episode has
                no return.
        """


class _StartedRobot(ABC):
    """A robot whose episodes are started here."""

    @abstractmethod
    def session(self, episodes: Path) -> AbstractContextManager[RunEpisode]:
        """Run episodes, by their seeds, that are recorded in a folder."""

    def run(
        self, episodes: Path, seeds: Iterator[int], over: Callable[[], bool]
    ) -> Iterator[float]:
        """See `LiveRobot`."""
        if over():
            return
        with self.session(episodes) as run_one:
            while not over():
                result = run_one(next(seeds))
                if result.episode_return is None:
                    raise EpisodeError(
                        "the robot's episodes come without a return, so that nothing can be told "
                        "of the live return; add a reward topic or a scoring function"
                    )
                yield result.episode_return


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


class SimulatedLiveRobot(_StartedRobot):
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

    @contextmanager
    def session(self, episodes: Path) -> Iterator[RunEpisode]:
        """See `_StartedRobot`."""
        yield partial(self._run, episodes)

    def _run(self, episodes: Path, seed: int) -> EpisodeResult:
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


class RosLiveRobot(_StartedRobot):
    """A simulator and a controller as processes of their own.

    Args:
        folder: of the deployment that the controller follows.
        robot: packaged name or path of an embodiment file.
        mjcf: physics, for a robot that is not packaged.
        device: where the models run.
        logs: folder for the processes' logs.
    """

    def __init__(
        self, folder: DeploymentFolder, robot: str, mjcf: Path | None, device: str, logs: Path
    ) -> None:
        self._folder = folder
        self._robot = robot
        self._mjcf = mjcf
        self._device = device
        self._logs = logs

    @contextmanager
    def session(self, episodes: Path) -> Iterator[RunEpisode]:
        """See `_StartedRobot`."""
        # The only place here that needs a ROS installation.
        from gac_ros.evaluation.over_ros.session import SessionRequest, open_session

        request = SessionRequest(
            robot=self._robot,
            checkpoint=Path(),
            deployment=self._folder.directory,
            mode="exploit",
            device=self._device,
            logs=self._logs,
            episodes=episodes,
            mjcf=self._mjcf,
        )
        with open_session(request) as runner:
            yield runner.run_episode
