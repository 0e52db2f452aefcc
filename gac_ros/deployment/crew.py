"""The loaded checkpoints of a deployment: who acts, and who computes in shadow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.deployment import state as deployment
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.deployment.state import Comparison, DeploymentState, Named
from gac_ros.embodiment import Embodiment
from gac_ros.errors import CheckpointError, GacError


@dataclass(frozen=True)
class Crew:
    """Checkpoints that are loaded and fit the robot.

    Attributes:
        acting: acts.
        shadow: computes beside it; None when there is no candidate.
    """

    acting: Checkpoint
    shadow: Checkpoint | None = None

    @property
    def digests(self) -> tuple[str, str]:
        """Of the two; the second one is empty without a candidate."""
        return self.acting.digest, "" if self.shadow is None else self.shadow.digest


class Follower:
    """Loads what a deployment says, and tells it of each episode.

    Its methods read files and load models: they belong between episodes, off the control loop.

    Args:
        folder: of the deployment.
        embodiment: of the robot that has to fit.
        device: where the models run.
    """

    def __init__(self, folder: DeploymentFolder, embodiment: Embodiment, device: str) -> None:
        self._folder = folder
        self._embodiment = embodiment
        self._device = device
        self._loaded: dict[str, Checkpoint] = {}

    def crew(self) -> Crew:
        """Who acts in the next episode.

        A candidate that cannot be loaded is dropped from the deployment.

        Raises:
            CheckpointError: no deployment, or the acting checkpoint cannot be used.
            EmbodimentError: the acting checkpoint is for another robot.
        """
        state = self._folder.read()
        acting = self._load(state.acting)
        shadow = None
        if state.candidate is not None:
            try:
                shadow = self._load(state.candidate)
            except GacError as error:
                drop = partial(deployment.failed, candidate=state.candidate, why=str(error))
                self._folder.change(drop)
        wanted = {state.acting.digest, shadow.digest if shadow else ""}
        self._loaded = {key: value for key, value in self._loaded.items() if key in wanted}
        return Crew(acting, shadow)

    def episode_over(
        self, acted: str, episode_return: float | None, comparison: Comparison | None
    ) -> DeploymentState:
        """Tell of an episode of exploitation; see `state.episode_over`."""
        tell: Callable[[DeploymentState], DeploymentState] = partial(
            deployment.episode_over,
            acted=acted,
            episode_return=episode_return,
            comparison=comparison,
        )
        return self._folder.change(tell)

    def explored(self, acted: str) -> None:
        """Tell of an episode of exploration; see `state.explored`."""
        self._folder.change(partial(deployment.explored, acted=acted))

    def _load(self, named: Named) -> Checkpoint:
        if named.digest not in self._loaded:
            checkpoint = load_checkpoint(named.path, self._device)
            if checkpoint.digest != named.digest:
                raise CheckpointError(
                    f"{named.path}: is not the checkpoint {named.digest[:12]} that was offered; "
                    "put that one back or offer this one anew"
                )
            checkpoint.require_embodiment(self._embodiment)
            self._loaded[named.digest] = checkpoint
        return self._loaded[named.digest]
