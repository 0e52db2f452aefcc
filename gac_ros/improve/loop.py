"""`gac improve`: the loop of online learning, with a running robot at its end.

There is one loop, `online.loop`: collect, fine-tune, compare, report. Here it is given a `Deploy`,
which brings what the comparison accepts to a robot and lets the robot's returns have the last word.
"""

from __future__ import annotations

from pathlib import Path

from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.seeds import tuning_seed
from gac_ros.improve.config import ImproveConfig
from gac_ros.improve.live import LiveRobot, RosLiveRobot, SimulatedLiveRobot
from gac_ros.improve.promotion import Promotion
from gac_ros.online.gate import GateResult, note_gate
from gac_ros.online.loop import run_online
from gac_ros.online.request import OnlineRequest, Watch
from gac_ros.online.results import LiveResult, RoundResult
from gac_ros.online.stages import Stages

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
        GacError: as `run_online`; or the deployment acts with a checkpoint of another run.
    """
    return run_online(request, watch, _promotion(request, directory, watch))


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
    promotion = _promotion(request, directory, watch)
    if not gate.accepted:
        promotion.refused(candidate, gate.words)
        return gate, None
    return gate, promotion.go_live(_FIRST_LIVE + number, name, candidate, gate.words)


def _promotion(request: OnlineRequest, directory: Path, watch: Watch) -> Promotion:
    assert isinstance(request.config, ImproveConfig)
    folder = DeploymentFolder(directory)
    arguments = (folder, request.robot, request.mjcf, request.device)
    robot: LiveRobot = SimulatedLiveRobot(*arguments)
    if request.transport == "ros":
        robot = RosLiveRobot(*arguments, request.out / "logs")
    return Promotion(folder, request.config.deployment, robot, request.out, request.seed, watch)
