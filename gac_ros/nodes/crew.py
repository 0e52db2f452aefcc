"""Whom an episode has: always the same checkpoint, or whomever a deployment names.

Everything here reads files, loads models and plans: it runs on the driver's worker thread, between
episodes, and never while the robot is driven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from gac_ros.control import Actor
from gac_ros.deployment.crew import Follower
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.deployment.shadow import Shadow, plan_in_shadow
from gac_ros.deployment.state import mode_of_next
from gac_ros.embodiment import find_embodiment
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import ConfigurationError, GacError
from gac_ros.nodes.parameters import EpisodeRequest, Settings
from gac_ros.nodes.robot import LoadedRobot, load_robot
from gac_ros.nodes.shadowed import ShadowedActor
from gac_ros.planning import Plan, Planner


@dataclass(frozen=True)
class Prepared:
    """All that an episode begins with."""

    robot: LoadedRobot
    plan: Plan
    request: EpisodeRequest
    shadowed: ShadowedActor | None = None

    @property
    def decider(self) -> Actor:
        """Who is asked for actions."""
        return self.shadowed or self.robot.actor


class Crew(Protocol):
    """Prepares episodes, and is told of them."""

    robot: LoadedRobot

    def prepare(self, request: EpisodeRequest) -> Prepared:
        """Plan an episode with who is to act in it."""

    def episode_over(self, prepared: Prepared, metadata: EpisodeMetadata) -> None:
        """Take note of a complete episode."""

    def close(self) -> None:
        """Release what was loaded."""


class FixedCrew:
    """The same checkpoint in every episode."""

    def __init__(self, robot: LoadedRobot) -> None:
        self.robot = robot

    def prepare(self, request: EpisodeRequest) -> Prepared:
        """See `Crew`."""
        if request.mode == "auto":
            raise ConfigurationError("mode auto needs the parameter 'deployment'; see gac improve")
        plan = self.robot.planner.plan(
            request.mode, request.seed, target_return=request.target_return
        )
        return Prepared(self.robot, plan, request)

    def episode_over(self, prepared: Prepared, metadata: EpisodeMetadata) -> None:
        """Nobody wants to know."""

    def close(self) -> None:
        """See `Crew`."""
        self.robot.close()


class DeployedCrew:
    """Whomever a deployment names; a candidate computes in shadow.

    Where the deployment cannot be read or its checkpoint not be loaded, the last one goes on.

    Args:
        settings: of the node, with `deployment`.
        logger: of the node.

    Attributes:
        robot: as of the last episode.
    """

    def __init__(self, settings: Settings, logger: Any) -> None:
        assert settings.deployment is not None
        if settings.checkpoint:
            raise ConfigurationError(
                "both 'checkpoint' and 'deployment' are set; the deployment says which checkpoint "
                "acts, so leave 'checkpoint' empty"
            )
        self._settings = settings
        self._logger = logger
        self._folder = DeploymentFolder(settings.deployment)
        embodiment = find_embodiment(settings.robot)
        self._follower = Follower(self._folder, embodiment, settings.device)
        self._shadow: Shadow | None = None
        self._planner: Planner | None = None
        self._shadow_digest = ""
        self._state = self._folder.read()
        self.robot = self._load(Path(self._state.acting.path))

    def prepare(self, request: EpisodeRequest) -> Prepared:
        """See `Crew`."""
        try:
            self._refresh()
            self._state = self._folder.read()
        except GacError as error:
            self._logger.error(f"the deployment is left alone for this episode: {error}")
        state = self._state
        mode = request.mode
        if mode == "auto":
            mode = mode_of_next(state)
            request = replace(request, mode=mode)
        planner = self.robot.planner
        if mode == "explore" and state.exploration:
            planner = self.robot.checkpoint.make_planner(**state.exploration)
        plan = planner.plan(mode, request.seed, target_return=request.target_return)
        shadowed = None
        if self._shadow is not None and self._planner is not None and mode == "exploit":
            self._shadow.begin(*plan_in_shadow(self._planner, "exploit", request.seed))
            shadowed = ShadowedActor(self.robot.actor, self._shadow)
        return Prepared(self.robot, plan, request, shadowed)

    def episode_over(self, prepared: Prepared, metadata: EpisodeMetadata) -> None:
        """See `Crew`; episodes of exploitation count."""
        digest = prepared.robot.checkpoint.digest
        if prepared.request.mode == "explore":
            self._follower.explored(digest)
        if prepared.request.mode != "exploit":
            return
        shadowed = prepared.shadowed
        comparison = None if shadowed is None else shadowed.shadow.result(metadata.episode_id)
        before = self._folder.read()
        state = self._follower.episode_over(digest, metadata.episode_return, comparison)
        for entry in state.log[len(before.log) :]:
            self._logger.info(f"{entry.event}: {entry.checkpoint.path}: {entry.why}")

    def close(self) -> None:
        """See `Crew`."""
        self.robot.close()

    def _refresh(self) -> None:
        crew = self._follower.crew()
        if crew.acting.digest != self.robot.checkpoint.digest:
            assert crew.acting.path is not None
            robot = self._load(crew.acting.path)
            self.robot.close()
            self.robot = robot
            self._logger.info(f"acts with {crew.acting.path} from now on")
        digest = "" if crew.shadow is None else crew.shadow.digest
        if digest == self._shadow_digest:
            return
        self._shadow, self._planner, self._shadow_digest = None, None, digest
        if crew.shadow is not None:
            policy = crew.shadow.make_policy()
            policy.warm_up()
            self._planner = crew.shadow.make_planner()
            self._shadow = Shadow(policy, crew.shadow.normalizer.action_half_range)

    def _load(self, path: Path) -> LoadedRobot:
        return load_robot(replace(self._settings, checkpoint=str(path)))


def make_crew(settings: Settings, logger: Any) -> Crew:
    """The crew that the settings ask for; the caller closes it.

    Raises:
        GacError: as `load_robot`; or there is no deployment.
    """
    if settings.deployment is None:
        return FixedCrew(load_robot(settings))
    return DeployedCrew(settings, logger)
