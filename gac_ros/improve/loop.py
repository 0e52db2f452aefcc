"""`gac improve`: the loop of online learning, with a running robot at its end.

There is one loop, `online.loop`: collect, fine-tune, compare, report. Here it is given a `Deploy`,
which brings what the comparison accepts to a robot and lets the robot's returns have the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gac_ros.buffer.folders import is_bag
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.seeds import tuning_seed
from gac_ros.improve.config import ImproveConfig
from gac_ros.improve.live import LiveRobot, RosLiveRobot, SimulatedLiveRobot
from gac_ros.improve.promotion import Promotion
from gac_ros.improve.robot import RobotCollection, RobotEpisodes, RobotLive
from gac_ros.online.gate import GateResult, note_gate
from gac_ros.online.loop import run_online
from gac_ros.online.request import OnlineRequest, Watch, known_episodes, present_episodes
from gac_ros.online.results import LiveResult, RoundResult
from gac_ros.online.stages import Stages
from gac_ros.sim import is_simulated

# Tuning starts of candidates from elsewhere, beyond those of any round.
_FIRST_OUTSIDER = 100_000
# Likewise, their live episodes.
_FIRST_LIVE = 1000


def run_improve(request: OnlineRequest, directory: Path, watch: Watch) -> list[RoundResult]:
    """Run or resume all rounds.

    Args:
        request: what to run; its `config` is an `ImproveConfig`.
        directory: of the deployment.
        watch: told of the progress.

    Raises:
        ConfigurationError: options that make no sense together.
        GacError: as `run_online`; or the deployment acts with a checkpoint of another run.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(
            f"--deployment {directory}: is no folder; give one, or leave it out for OUT/deployment"
        )
    robot = None
    if request.robot_episodes is not None:
        check_robot(request)
        robot = _robot_episodes(request, partial(known_episodes, request.out), watch)
        request = without_simulator(request, watch)
    if not request.config.gate_episodes:
        watch.say("no gate: every candidate goes live; shadow, trial and rollback are the guard")
    collect = None if robot is None else RobotCollection(robot, DeploymentFolder(directory))
    promotion = _promotion(request, directory, watch, robot)
    rounds = run_online(request, watch, promotion, collect)
    if robot is not None:
        robot.release()
    return rounds


def check_robot(request: OnlineRequest) -> None:
    """See that the options fit a robot that runs elsewhere.

    Raises:
        ConfigurationError: they do not.
    """
    folder, config = request.robot_episodes, request.config
    if request.transport == "ros":
        raise ConfigurationError(
            "--transport ros would start a second controller where --robot-episodes has one; leave "
            "one of the two out"
        )
    if config.collect != "explore":
        raise ConfigurationError(
            f"--collect {config.collect} is for the simulator: with --robot-episodes the "
            "controller's parameter mode decides; leave --collect out"
        )
    if config.collector != "incumbent":
        raise ConfigurationError(
            f"collector: {config.collector} is for the simulator: with --robot-episodes whoever "
            "acts in the deployment collects; leave the setting out"
        )
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigurationError(
            f"--robot-episodes {folder}: is no folder; give the controller's record.directory"
        )
    if folder is not None and is_bag(folder):
        raise ConfigurationError(
            f"--robot-episodes {folder}: is one episode; give the folder that it lies in"
        )


def without_simulator(request: OnlineRequest, watch: Watch) -> OnlineRequest:
    """Leave out what needs a simulator, and say so, where the robot has none."""
    if request.mjcf is not None or is_simulated(request.robot):
        return request
    watch.say(
        f"{request.robot} has no simulator (--mjcf gives it one): no plans are tried, no candidate "
        "is compared, and exploitation is not measured"
    )
    none = dict.fromkeys(("plan_trials", "gate_episodes", "evaluation_episodes"), 0)
    return replace(request, config=request.config.model_copy(update=none))


def _robot_episodes(
    request: OnlineRequest, known: Callable[[], set[str]], watch: Watch
) -> RobotEpisodes:
    assert request.robot_episodes is not None
    embodiment = find_embodiment(request.robot)
    return RobotEpisodes(request.robot_episodes, embodiment, request.out, known, watch)


def judge_candidate(
    request: OnlineRequest, directory: Path, candidate: Path, watch: Watch
) -> tuple[GateResult, LiveResult | None]:
    """Put a checkpoint from elsewhere through the same gate, shadow and trial.

    Args:
        request: robot, settings and `out`, where the live episodes are recorded.
        directory: of a deployment that is there.
        candidate: the checkpoint.
        watch: told of the progress.

    Returns:
        The comparison with who acts now, and what became of the candidate if it was accepted.

    Raises:
        ConfigurationError: a candidate is on its way already, or the gate has no episodes.
        GacError: a checkpoint or the deployment cannot be used.
    """
    robot = None
    if request.robot_episodes is not None:
        check_robot(request)
        before = set(present_episodes(request.robot_episodes))
        robot = _robot_episodes(request, lambda: before, watch)
    state = DeploymentFolder(directory).read()
    if state.stage != "steady":
        raise ConfigurationError(
            f"{directory}: a candidate is in its {state.stage}; let that end first"
        )
    count = request.config.gate_episodes
    if not count:
        raise ConfigurationError("gate_episodes is 0, so nothing can be compared; set it")
    # Every judgement leaves a line, so that each has starts of its own.
    number = len(state.log)
    seeds = [tuning_seed(request.seed, _FIRST_OUTSIDER + number * count + i) for i in range(count)]
    incumbent = Path(state.acting.path)
    name = f"judged-{number:04d}"
    gate, _ = Stages(request, watch).compare(
        incumbent, candidate, seeds, request.out / name, "judging"
    )
    note_gate(gate, incumbent, candidate)
    promotion = _promotion(request, directory, watch, robot)
    if not gate.accepted:
        promotion.refused(candidate, gate.words)
        return gate, None
    live = promotion.go_live(_FIRST_LIVE + number, name, candidate, gate.words)
    if robot is not None:
        robot.release()
    return gate, live


def _promotion(
    request: OnlineRequest, directory: Path, watch: Watch, elsewhere: RobotEpisodes | None
) -> Promotion:
    config, folder = request.config, DeploymentFolder(directory)
    assert isinstance(config, ImproveConfig)
    arguments = (folder, request.robot, request.mjcf, request.device)
    robot: LiveRobot
    if elsewhere is not None:
        robot = RobotLive(elsewhere)
    elif request.transport == "ros":
        robot = RosLiveRobot(*arguments, request.out / "logs")
    else:
        robot = SimulatedLiveRobot(*arguments)
    embodiment = find_embodiment(request.robot)
    return Promotion(folder, config.deployment, robot, embodiment, request.out, request.seed, watch)
