"""Which checkpoint acts, which one is tried, and everything that was decided about them.

    steady    an offer: shadow; the live return falls: the former checkpoint acts again
    shadow    enough episodes compared: trial, the candidate acts; the live return falls: steady,
              the former checkpoint acts again and the candidate is dropped
    trial     the live return holds: steady; it falls: steady, the former checkpoint acts again

Pure functions on a frozen state; `deployment.folder` keeps it in a file.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gac_ros.evaluation.intervals import t_quantile
from gac_ros.planning import Mode

Stage = Literal["steady", "shadow", "trial"]
Event = Literal[
    "started", "refused", "offered", "taken", "confirmed", "rolled back", "dropped", "failed"
]

# Live returns that are kept of a checkpoint; older ones say little about today's robot.
_RETURNS = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeploymentConfig(_Frozen):
    """How a candidate takes over.

    Attributes:
        shadow_episodes: in which it computes beside the acting checkpoint; 0 leaves that out.
        trial_episodes: of exploitation, after which it is confirmed.
        least_episodes: before which the live return is not judged.
        rollback_confidence: with which the live return must have fallen (one-sided, Welch's t).
        watch_episodes: the newest ones, whose live return is compared with the former checkpoint's
            after the confirmation, until the next offer is taken; 0 ends it with the trial.
        watch_every: in mode auto one episode in so many exploits meanwhile, as exploration says
            nothing of the live return.
        watch_confidence: likewise, after the confirmation; higher, as it is asked ever again.
    """

    shadow_episodes: int = Field(default=3, ge=0)
    trial_episodes: int = Field(default=10, gt=0)
    least_episodes: int = Field(default=3, gt=1)
    rollback_confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    watch_episodes: int = Field(default=20, ge=0, le=_RETURNS)
    watch_every: int = Field(default=5, ge=1)
    watch_confidence: float = Field(default=0.99, ge=0.5, lt=1.0)


class Named(_Frozen):
    """A checkpoint: where it lies, and the digest that it must have."""

    path: str
    digest: str


class Comparison(_Frozen):
    """The actions of a candidate in shadow against those of the acting checkpoint in one episode.

    Attributes:
        episode_id: of the bag.
        steps: actions compared.
        mean_difference: root mean square over steps and joints, in shares of half the range.
        largest_difference: of one number.
        failure: why the candidate gave no action; empty when it did.
    """

    episode_id: str
    steps: int
    mean_difference: float
    largest_difference: float
    failure: str = ""


class Entry(_Frozen):
    """A line of the promotions log."""

    time: str
    event: Event
    checkpoint: Named
    why: str


class DeploymentState(_Frozen):
    """See the module's picture.

    Attributes:
        config: see there.
        stage: where it stands.
        acting: acts on the robot.
        candidate: computes in shadow.
        former: acted before; acts again when the live return falls.
        returns: live returns of exploitation with `acting`, the newest last.
        former_returns: those of `former`.
        comparisons: of the present shadow, or of the last one.
        explored: episodes of exploration since the last one of exploitation, while it is watched.
        exploration: planner settings of exploring episodes; empty: the checkpoint's own.
        log: everything that was decided, the newest last.
    """

    config: DeploymentConfig
    stage: Stage
    acting: Named
    candidate: Named | None = None
    former: Named | None = None
    returns: tuple[float, ...] = ()
    former_returns: tuple[float, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    explored: int = Field(default=0, ge=0)
    exploration: dict[str, float] = Field(default_factory=dict)
    log: tuple[Entry, ...] = ()


def start(acting: Named, config: DeploymentConfig) -> DeploymentState:
    """A deployment that begins with a checkpoint."""
    state = DeploymentState(config=config, stage="steady", acting=acting)
    return _noted(state, "started", acting, "the first checkpoint")


def refuse(state: DeploymentState, candidate: Named, why: str) -> DeploymentState:
    """Note that a candidate was not good enough to be offered."""
    return _noted(state, "refused", candidate, why)


def explore_with(state: DeploymentState, settings: dict[str, float]) -> DeploymentState:
    """Have exploring episodes planned with these settings."""
    return state.model_copy(update={"exploration": dict(settings)})


def mode_of_next(state: DeploymentState) -> Mode:
    """How an episode of mode auto is planned: what anybody is judged by is exploitation."""
    due = _has_watch(state) and state.explored + 1 >= state.config.watch_every
    return "exploit" if due or state.stage != "steady" else "explore"


def explored(state: DeploymentState, acted: str) -> DeploymentState:
    """Take in an episode of exploration by the checkpoint with the digest `acted`."""
    if acted != state.acting.digest or not _has_watch(state):
        return state
    return state.model_copy(update={"explored": state.explored + 1})


def offer(state: DeploymentState, candidate: Named, why: str) -> DeploymentState:
    """Have a candidate compared in shadow, or tried at once where no shadow is wanted.

    A candidate that was still in shadow is dropped. During a trial the offer must wait.

    Raises:
        ValueError: a trial is on.
    """
    if state.stage == "trial":
        raise ValueError("a trial is on")
    if state.candidate is not None:
        state = _noted(state, "dropped", state.candidate, f"{candidate.path} was offered instead")
    state = _noted(state, "offered", candidate, why)
    changes = {"stage": "shadow", "candidate": candidate, "comparisons": ()}
    state = state.model_copy(update=changes)
    return state if state.config.shadow_episodes else _take(state)


def episode_over(
    state: DeploymentState,
    acted: str,
    episode_return: float | None,
    comparison: Comparison | None = None,
) -> DeploymentState:
    """Take in an episode of exploitation.

    Args:
        state: before it.
        acted: digest of the checkpoint that acted; of another one than `acting` says nothing.
        episode_return: None without a label.
        comparison: with the candidate, where one computed in shadow.
    """
    if acted != state.acting.digest:
        return state
    state = state.model_copy(update={"explored": 0})
    if episode_return is not None and math.isfinite(episode_return):
        returns = (*state.returns, episode_return)[-_RETURNS:]
        state = state.model_copy(update={"returns": returns})
    if state.stage == "trial":
        return _judged(state)
    state = _watched(state)
    if state.stage == "shadow" and comparison is not None:
        return _compared(state, comparison)
    return state


def failed(state: DeploymentState, candidate: Named, why: str) -> DeploymentState:
    """Drop a candidate that cannot be used."""
    if state.candidate != candidate:
        return state
    state = state.model_copy(update={"stage": "steady", "candidate": None})
    return _noted(state, "failed", candidate, why)


def _compared(state: DeploymentState, comparison: Comparison) -> DeploymentState:
    candidate = state.candidate
    assert candidate is not None
    state = state.model_copy(update={"comparisons": (*state.comparisons, comparison)})
    if comparison.failure:
        return failed(state, candidate, f"in shadow: {comparison.failure}")
    return state if len(state.comparisons) < state.config.shadow_episodes else _take(state)


def _take(state: DeploymentState) -> DeploymentState:
    """Let the candidate act, on trial."""
    candidate = state.candidate
    assert candidate is not None
    why = "no shadow was wanted"
    if state.comparisons:
        mean = float(np.mean([c.mean_difference for c in state.comparisons]))
        largest = max(c.largest_difference for c in state.comparisons)
        why = (
            f"in shadow for {len(state.comparisons)} episodes; its actions differed by "
            f"{mean:.3f} (root mean square, in half ranges), {largest:.3f} at most"
        )
    changes = {
        "stage": "trial",
        "acting": candidate,
        "candidate": None,
        "former": state.acting,
        "returns": (),
        "former_returns": state.returns,
    }
    return _noted(state.model_copy(update=changes), "taken", candidate, why)


def _judged(state: DeploymentState) -> DeploymentState:
    """End a trial when enough is known."""
    former, count = state.former, len(state.returns)
    assert former is not None
    if count < state.config.least_episodes:
        return state
    if len(state.former_returns) < 2:
        if count < state.config.trial_episodes:
            return state
        changes = {"former": None, "former_returns": ()}
        why = "the former checkpoint has too few live returns to compare with"
        return _confirmed(state.model_copy(update=changes), why)
    if _fell(state.former_returns, state.returns, state.config.rollback_confidence):
        return _rolled_back(state, former, state.returns)
    if count < state.config.trial_episodes:
        return state
    return _confirmed(state, _compared_returns(state, state.returns))


def _has_watch(state: DeploymentState) -> bool:
    """Whether there is somebody to come back, should the live return fall."""
    return state.former is not None and state.config.watch_episodes > 0


def _watched(state: DeploymentState) -> DeploymentState:
    """Bring the former checkpoint back when the live return fell after the confirmation."""
    former, count = state.former, state.config.watch_episodes
    if former is None or count == 0 or len(state.returns) < count:
        return state
    newest = state.returns[-count:]
    if not _fell(state.former_returns, newest, state.config.watch_confidence):
        return state
    return _rolled_back(state, former, newest)


def _rolled_back(
    state: DeploymentState, former: Named, returns: tuple[float, ...]
) -> DeploymentState:
    fallen, candidate = state.acting, state.candidate
    changes = {
        "stage": "steady",
        "acting": former,
        "candidate": None,
        "former": None,
        "returns": state.former_returns,
        "former_returns": (),
    }
    why = _compared_returns(state, returns)
    state = _noted(state.model_copy(update=changes), "rolled back", fallen, why)
    if candidate is None:
        return state
    why = f"{fallen.path}, which it was better than, was rolled back"
    return _noted(state, "dropped", candidate, why)


def _confirmed(state: DeploymentState, why: str) -> DeploymentState:
    return _noted(state.model_copy(update={"stage": "steady"}), "confirmed", state.acting, why)


def _compared_returns(state: DeploymentState, returns: tuple[float, ...]) -> str:
    return (
        f"live return {np.mean(returns):.1f} over {len(returns)} episodes, "
        f"{np.mean(state.former_returns):.1f} over {len(state.former_returns)} with the former "
        "checkpoint"
    )


def _fell(before: tuple[float, ...], after: tuple[float, ...], confidence: float) -> bool:
    """Whether the mean fell, by Welch's test: the two have spreads of their own."""
    difference = float(np.mean(after) - np.mean(before))
    if difference >= 0.0:
        return False
    first, second = (float(np.var(x, ddof=1)) / len(x) for x in (before, after))
    if first + second == 0.0:
        return True
    spread = first**2 / (len(before) - 1) + second**2 / (len(after) - 1)
    degrees = max(1, int((first + second) ** 2 / spread))
    return difference + t_quantile(confidence, degrees) * math.sqrt(first + second) < 0.0


def _noted(state: DeploymentState, event: Event, checkpoint: Named, why: str) -> DeploymentState:
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    entry = Entry(time=time, event=event, checkpoint=checkpoint, why=why)
    return state.model_copy(update={"log": (*state.log, entry)})
