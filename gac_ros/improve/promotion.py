"""Candidates on their way to the running robot: offer, shadow, trial, verdict."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.summary import list_episodes
from gac_ros.deployment import state as deployment
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig, DeploymentState, Entry, Event, Named
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.seeds import live_seed
from gac_ros.improve.live import LiveRobot
from gac_ros.lineage import Score, add_score
from gac_ros.online.request import Watch
from gac_ros.online.results import LiveResult

_ENDED: tuple[Event, ...] = ("confirmed", "rolled back", "dropped", "failed")
# So many live starts a round; a longer shadow and trial goes on with those of the next.
_LIVE_STARTS = 100


class Promotion:
    """The `Deploy` of `gac improve`.

    Args:
        folder: of the deployment.
        config: of a deployment that begins here.
        robot: follows the deployment.
        embodiment: of the robot.
        out: folder of the run.
        seed: of the live episodes' starts and plans.
        watch: told of the progress.
    """

    def __init__(
        self,
        folder: DeploymentFolder,
        config: DeploymentConfig,
        robot: LiveRobot,
        embodiment: Embodiment,
        out: Path,
        seed: int,
        watch: Watch,
    ) -> None:
        self._folder = folder
        self._config = config
        self._robot = robot
        self._embodiment = embodiment
        self._out = out
        self._seed = seed
        self._watch = watch

    def begin(self, first: Path) -> None:
        """Have the run's first incumbent act, unless the deployment is there already.

        Raises:
            ConfigurationError: the deployment began with, or came to, another checkpoint.
        """
        named = name_checkpoint(first)
        state = self._folder.begin(named, self._config)
        if named.digest not in {entry.checkpoint.digest for entry in state.log}:
            raise ConfigurationError(
                f"{self._folder.directory}: acts with {state.acting.path}, not with {first}; give "
                "that checkpoint, or another folder for the deployment"
            )

    def acting(self) -> str:
        """Digest of the checkpoint that acts."""
        return self._folder.read().acting.digest

    def refused(self, candidate: Path, why: str) -> None:
        """Note it in the promotions log, once."""
        named = name_checkpoint(candidate)
        refuse = partial(deployment.refuse, candidate=named, why=why)
        self._folder.change(
            lambda state: state if _entries(state, named, ("refused",)) else refuse(state)
        )

    def take_over(self, number: int, candidate: Path, why: str) -> LiveResult:
        """Offer it and run live episodes until it is confirmed, or no longer acts."""
        return self.go_live(number, f"round-{number:02d}", candidate, why)

    def go_live(self, number: int, name: str, candidate: Path, why: str) -> LiveResult:
        """As `take_over`, recording below the run's folder `name`; `number` decides the seeds."""
        named = name_checkpoint(candidate)

        def offer(state: DeploymentState) -> DeploymentState:
            if _entries(state, named, ("offered",)):
                return state
            if state.stage == "trial":
                raise ConfigurationError(
                    f"{self._folder.directory}: {state.acting.path} is on trial; let that end, "
                    "then continue with --resume"
                )
            return deployment.offer(state, named, why)

        state = self._folder.change(offer)
        episodes = self._out / name / "live"
        done = len(self._recorded(episodes))
        first = number * _LIVE_STARTS + done
        seeds = (live_seed(self._seed, index) for index in count(first))
        total = state.config.shadow_episodes + state.config.trial_episodes
        heard = len(state.log)

        def over() -> bool:
            nonlocal heard
            state = self._folder.read()
            for entry in state.log[heard:]:
                self._watch.say(f"{entry.event}: {entry.why}")
            heard = len(state.log)
            return bool(_entries(state, named, _ENDED))

        with self._watch.stage(f"{name}: live", max(0, total - done)) as advance:
            for value in self._robot.run(episodes, seeds, over):
                advance(f"return {value:.1f}")
        return self._result(self._folder.read(), named, candidate, episodes)

    def _result(
        self, state: DeploymentState, named: Named, candidate: Path, episodes: Path
    ) -> LiveResult:
        ended = _entries(state, named, _ENDED)[-1]
        returns: list[float] = []
        former: list[float] = []
        rows = self._recorded(episodes)
        for digest, value, _, _ in rows:
            (returns if digest == named.digest else former).append(value)
        if returns:
            mean = sum(returns) / len(returns)
            add_score(candidate, Score(purpose="live", episodes=len(returns), return_mean=mean))
        return LiveResult(
            kept=ended.event == "confirmed",
            why=f"{ended.event}: {ended.why}",
            returns=returns,
            former_returns=former,
            differences=[comparison.mean_difference for comparison in state.comparisons],
            steps=sum(steps for _, _, steps, _ in rows),
            episodes=str(episodes.relative_to(self._out)),
            seeds=[seed for _, _, _, seed in rows],
        )

    def _recorded(self, folder: Path) -> list[tuple[str, float, int, int]]:
        """Digest of who acted, return, steps and seed of each recorded episode, by id."""
        if not folder.is_dir() or not any(row.usable for row in list_episodes(folder)):
            return []
        rows = []
        for episode in EpisodeBuffer.open(folder, embodiment=self._embodiment):
            known, value = episode.metadata, episode.episode_return
            if known is not None and known.seed is not None and value is not None:
                rows.append((known.checkpoint_digest or "", value, known.steps, known.seed))
        return rows


def _entries(state: DeploymentState, named: Named, events: tuple[Event, ...]) -> list[Entry]:
    return [
        entry
        for entry in state.log
        if entry.event in events and entry.checkpoint.digest == named.digest
    ]
