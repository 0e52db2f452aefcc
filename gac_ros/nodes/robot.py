"""What the controller drives with: the robot's contract and the model that fits it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.messages import FLOAT64, STRING, prepare
from gac_ros.nodes.parameters import Settings, Tick
from gac_ros.planning import Planner
from gac_ros.policy import GacActor, Policy
from gac_ros.replanning.actor import Advisor, DirectAdvisor, ReplanningActor
from gac_ros.replanning.process import PlanningProcess
from gac_ros.replanning.replanner import Replanner
from gac_ros.resources import packaged_checkpoint


@dataclass(frozen=True)
class LoadedRobot:
    """A robot's contract with a checkpoint that fits it, ready to plan and to act."""

    embodiment: Embodiment
    checkpoint: Checkpoint
    planner: Planner
    actor: GacActor
    planning_process: PlanningProcess | None = None

    @property
    def replanning(self) -> ReplanningActor | None:
        """The actor, if it plans again during an episode."""
        return self.actor if isinstance(self.actor, ReplanningActor) else None

    def close(self) -> None:
        """End the planning process."""
        if self.planning_process is not None:
            self.planning_process.close()


def load_robot(settings: Settings) -> LoadedRobot:
    """Load and warm up all that the settings ask for; the caller closes it.

    Raises:
        GacError: unknown robot, wrong contract, damaged checkpoint or one for another robot, no
            such device.
    """
    if settings.lock_step and settings.tick is Tick.TIMER:
        raise ConfigurationError(
            "tick 'timer' acts without waiting for the simulator, which lock_step forbids; set "
            "tick to 'observation' or lock_step to false"
        )
    torch.set_num_threads(settings.torch_threads)
    threadpool_limits(settings.torch_threads, user_api="blas")  # NumPy's, which the policy uses
    embodiment = find_embodiment(settings.robot)
    checkpoint = _load_checkpoint(settings, embodiment)
    checkpoint.require_embodiment(embodiment)
    policy = checkpoint.make_policy()
    policy.warm_up()
    _warm_up_codec(embodiment)
    planner = checkpoint.make_planner()
    planner.plan("exploit", seed=0)  # the first plans take longer than later ones
    planner.plan("posterior", seed=0)
    if not settings.replanning.active:
        return LoadedRobot(embodiment, checkpoint, planner, GacActor(planner, policy, "exploit"))
    return _replanning_robot(settings, embodiment, checkpoint, planner, policy)


def _replanning_robot(
    settings: Settings,
    embodiment: Embodiment,
    checkpoint: Checkpoint,
    planner: Planner,
    policy: Policy,
) -> LoadedRobot:
    """In lock-step the controller waits for the new plan, else another process makes it."""
    config, process = settings.replanning, None
    if settings.lock_step:
        advisor: Advisor = DirectAdvisor(Replanner(checkpoint, config))
    else:
        assert checkpoint.path is not None
        advisor = process = PlanningProcess(
            checkpoint.path,
            settings.device,
            config,
            threads=settings.torch_threads,
            slowdown=settings.replanning_slowdown,
        )
        try:
            process.wait_until_ready()
        except BaseException:
            process.close()
            raise
    actor = ReplanningActor(checkpoint, planner, policy, "exploit", advisor, config)
    return LoadedRobot(embodiment, checkpoint, planner, actor, process)


def _load_checkpoint(settings: Settings, embodiment: Embodiment) -> Checkpoint:
    if settings.checkpoint:
        return load_checkpoint(settings.checkpoint, settings.device)
    packaged = packaged_checkpoint(embodiment.name)
    if not packaged.is_dir():
        raise ConfigurationError(
            f"no checkpoint is packaged for robot '{embodiment.name}'; set the parameter "
            "'checkpoint' to one of your own (gac train makes one)"
        )
    return load_checkpoint(packaged, settings.device)


def _warm_up_codec(embodiment: Embodiment) -> None:
    """Have the code that reads and writes each message type generated now, not at first use."""
    for kind in (*(channel.type for channel in embodiment.observation), FLOAT64, STRING):
        prepare(kind)
