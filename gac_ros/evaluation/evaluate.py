"""Evaluate a checkpoint on a simulated robot, over ROS or in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.errors import CheckpointError, ConfigurationError
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.evaluation.results import (
    EPISODES_FOLDER,
    LOGS_FOLDER,
    EpisodeResult,
    EvaluationResult,
    RunDescription,
    Transport,
    prepare_folder,
    write_results,
)
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.evaluation.seeds import episode_seed
from gac_ros.evaluation.threads import one_thread
from gac_ros.lineage import Score, add_score
from gac_ros.planning import Mode
from gac_ros.policy import GacActor
from gac_ros.replanning.actor import DirectAdvisor, ReplanningActor
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.replanner import Replanner
from gac_ros.resources import packaged_checkpoint

RunEpisode = Callable[[int], EpisodeResult]


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate and how.

    Attributes:
        robot: packaged name or path of an embodiment file.
        out: folder for `results.json`, the bags (`episodes/`) and, over ROS, the logs.
        episodes: how many.
        seed: as `--seed`; see `episode_seed`.
        transport: `ros` or `inproc`.
        mode: how plans are made.
        replanning: when they are made again during an episode; None is never.
        checkpoint: None for the packaged one.
        mjcf: physics, for a robot that is not packaged.
        device: where the model runs.
        record: whether to keep bags.
        real_time_factor: simulated seconds a second; None runs in lock-step. Over ROS only.
        overwrite: replace existing results.
        command_line: what the user typed, for the record.
    """

    robot: str
    out: Path
    episodes: int
    seed: int = 0
    transport: Transport = "ros"
    mode: Mode = "exploit"
    replanning: ReplanningConfig | None = None
    checkpoint: Path | None = None
    mjcf: Path | None = None
    device: str = "cpu"
    record: bool = True
    real_time_factor: float | None = None
    overwrite: bool = False
    command_line: str = ""


def evaluate(
    request: EvaluationRequest, on_episode: Callable[[EpisodeResult], None] | None = None
) -> EvaluationResult:
    """Run the episodes and write `results.json`.

    Args:
        request: what to run.
        on_episode: called after each episode, for a progress display.

    Raises:
        ConfigurationError: an option or the robot is wrong.
        CheckpointError: there is no usable checkpoint.
        EmbodimentError: the checkpoint was trained for another robot.
        OutputError: `out` cannot be written or holds results.
        TransportError: a process of the ROS transport failed; finished bags stay.
    """
    if request.real_time_factor is not None and request.transport != "ros":
        raise ConfigurationError(
            "the real-time factor is about simulated time over ROS; use it with --transport ros"
        )
    embodiment = find_embodiment(request.robot)
    checkpoint = load_checkpoint_for(embodiment, request.checkpoint, request.device)
    prepare_folder(request.out, overwrite=request.overwrite)
    results = []
    with open_transport(request, checkpoint) as run_one:
        for index in range(request.episodes):
            results.append(run_one(episode_seed(request.seed, index)))
            if on_episode is not None:
                on_episode(results[-1])
    result = EvaluationResult(_describe(request, embodiment, checkpoint), tuple(results))
    write_results(result, request.out)
    return result


def note_score(result: EvaluationResult) -> bool:
    """Note the mean return beside the checkpoint, for `gac lineage`.

    Only of exploitation with one plan an episode: this is what a checkpoint is compared by.

    Returns:
        Whether it was noted; False also where the checkpoint's folder cannot be written.
    """
    run = result.run
    if run.checkpoint is None or (run.mode, run.replanning) != ("exploit", "never"):
        return False
    returns = [e.episode_return for e in result.episodes if e.episode_return is not None]
    if not returns or result.return_mean is None:
        return False
    score = Score(
        purpose="report",
        episodes=len(returns),
        return_mean=result.return_mean,
        return_ci95=mean_interval(returns),
    )
    return add_score(Path(run.checkpoint), score)


def load_checkpoint_for(
    embodiment: Embodiment, path: Path | None, device: str = "cpu"
) -> Checkpoint:
    """Load a robot's checkpoint and make sure that it fits.

    Args:
        embodiment: of the robot.
        path: None for the packaged checkpoint.
        device: as for `load_checkpoint`.

    Raises:
        CheckpointError: missing or damaged.
        EmbodimentError: trained for another robot.
    """
    if path is None:
        path = packaged_checkpoint(embodiment.name)
        if not path.exists():
            raise CheckpointError(
                f"no checkpoint is packaged for '{embodiment.name}'; train one with 'gac collect' "
                "and 'gac train' and name it with --checkpoint"
            )
    checkpoint = load_checkpoint(path, device)
    checkpoint.require_embodiment(embodiment)
    return checkpoint


def make_actor(
    checkpoint: Checkpoint, mode: Mode, replanning: ReplanningConfig | None = None
) -> GacActor:
    """The actor of a checkpoint, warmed up as the controller node's is.

    With re-planning it plans again while it waits, as the controller does in lock-step.
    """
    policy = checkpoint.make_policy()
    policy.warm_up()
    planner = checkpoint.make_planner()
    if replanning is None or not replanning.active:
        return GacActor(planner, policy, mode)
    advisor = DirectAdvisor(Replanner(checkpoint, replanning))
    return ReplanningActor(checkpoint, planner, policy, mode, advisor, replanning)


def describe_actor(checkpoint: Checkpoint, mode: Mode) -> ActorDescription:
    """The actor of a checkpoint, for the bags' metadata."""
    path = None if checkpoint.path is None else checkpoint.path.absolute()
    return ActorDescription(checkpoint.lineage.method, mode, path, checkpoint.digest)


def open_transport(
    request: EvaluationRequest, checkpoint: Checkpoint
) -> AbstractContextManager[RunEpisode]:
    """What performs a request's episodes, one for each seed that it is given.

    Args:
        request: which robot, how plans are made, where bags and logs go; its `episodes` and `seed`
            are the caller's business.
        checkpoint: loaded from the disk.

    Raises:
        ConfigurationError: ROS is asked for and not there.
        TransportError: a process of the ROS transport failed.
    """
    episodes = request.out / EPISODES_FOLDER if request.record else None
    if request.transport == "inproc":
        return _in_process(request, checkpoint, episodes)
    return _over_ros(request, checkpoint, episodes)


@contextmanager
def _in_process(
    request: EvaluationRequest, checkpoint: Checkpoint, episodes: Path | None
) -> Iterator[RunEpisode]:
    from gac_ros.sim import make_robot

    robot = make_robot(request.robot, mjcf=None if request.mjcf is None else str(request.mjcf))
    with one_thread():
        yield partial(
            run_episode,
            robot,
            make_actor(checkpoint, request.mode, request.replanning),
            description=describe_actor(checkpoint, request.mode),
            directory=episodes,
        )


@contextmanager
def _over_ros(
    request: EvaluationRequest, checkpoint: Checkpoint, episodes: Path | None
) -> Iterator[RunEpisode]:
    # The only place where evaluation needs a ROS installation.
    try:
        from gac_ros.evaluation.over_ros.session import SessionRequest, open_session
    except ImportError as error:
        raise ConfigurationError(
            f"ROS 2 is not there ({error}); install gac_ros with its 'ros' extra, source a ROS 2 "
            "installation, or use --transport inproc"
        ) from error

    assert checkpoint.path is not None
    session = SessionRequest(
        robot=request.robot,
        checkpoint=checkpoint.path,
        mode=request.mode,
        replanning=request.replanning,
        device=request.device,
        logs=request.out / LOGS_FOLDER,
        episodes=episodes,
        mjcf=request.mjcf,
        real_time_factor=request.real_time_factor,
    )
    with open_session(session) as runner:
        yield runner.run_episode


def _describe(
    request: EvaluationRequest, embodiment: Embodiment, checkpoint: Checkpoint
) -> RunDescription:
    return RunDescription(
        robot=embodiment.name,
        policy=checkpoint.lineage.method,
        mode=request.mode,
        checkpoint=str(checkpoint.path),
        checkpoint_digest=checkpoint.digest,
        transport=request.transport,
        seed=request.seed,
        lock_step=request.real_time_factor is None,
        command_line=request.command_line,
        replanning=request.replanning.when if request.replanning else "never",
    )
