"""Candidates on their way to the running robot: offer, shadow, trial, verdict."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gac_ros.buffer.summary import list_episodes
from gac_ros.deployment import state as deployment
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig, DeploymentState, Entry, Event, Named
from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.evaluation.seeds import live_seed
from gac_ros.improve.live import LiveRobot
from gac_ros.lineage import Score, add_score
from gac_ros.online.request import Watch
from gac_ros.online.results import LiveResult
from gac_ros.online.stages import words

_ENDED: tuple[Event, ...] = ("confirmed", "rolled back", "failed")
# So many live starts a round; a longer shadow and trial goes on with those of the next.
_LIVE_STARTS = 100


class Promotion:
    """The `Deploy` of `gac improve`.

    Args:
        folder: of the deployment.
        config: of a deployment that begins here.
        robot: follows the deployment.
        out: folder of the run.
        seed: of the live episodes' starts and plans.
        watch: told of the progress.
    """

    def __init__(
        self,
        folder: DeploymentFolder,
        config: DeploymentConfig,
        robot: LiveRobot,
        out: Path,
        seed: int,
        watch: Watch,
    ) -> None:
        self._folder = folder
        self._config = config
        self._robot = robot
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
        offer = partial(deployment.offer, candidate=named, why=why)
        state = self._folder.change(
            lambda state: state if _entries(state, named, ("offered",)) else offer(state)
        )
        episodes = self._out / name / "live"
        config = state.config
        done = _recorded(episodes)
        index = len(done)
        total = config.shadow_episodes + config.trial_episodes
        if _entries(state, named, _ENDED):
            return self._result(state, named, candidate, episodes)
        with (
            self._watch.stage(f"{name}: live", max(0, total - index)) as advance,
            self._robot.session(episodes) as run_one,
        ):
            while not _entries(state, named, _ENDED):
                result = run_one(live_seed(self._seed, number * _LIVE_STARTS + index))
                if result.episode_return is None:
                    raise EpisodeError(
                        "the robot's episodes come without a return, so that nothing can be told "
                        "of the live return; add a reward topic or a scoring function"
                    )
                advance(words(result))
                index += 1
                state = self._folder.read()
        return self._result(state, named, candidate, episodes)

    def _result(
        self, state: DeploymentState, named: Named, candidate: Path, episodes: Path
    ) -> LiveResult:
        ended = _entries(state, named, _ENDED)[-1]
        returns: list[float] = []
        former: list[float] = []
        rows = _recorded(episodes)
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


def _entries(state: DeploymentState, named: Named, events: tuple[Event, ...]) -> list[Entry]:
    return [
        entry
        for entry in state.log
        if entry.event in events and entry.checkpoint.digest == named.digest
    ]


def _recorded(folder: Path) -> list[tuple[str, float, int, int]]:
    """Digest of who acted, return, steps and seed of each recorded episode, by id."""
    if not folder.is_dir():
        return []
    rows = []
    for row in sorted(list_episodes(folder), key=lambda row: row.episode_id):
        known = row.metadata
        if known is not None and known.seed is not None and row.episode_return is not None:
            rows.append(
                (known.checkpoint_digest or "", row.episode_return, known.steps, known.seed)
            )
    return rows
