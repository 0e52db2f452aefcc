"""`gac evaluate`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import command_line, episode_progress, make_console
from gac_ros.cli.options import (
    CheckpointPath,
    Device,
    EpisodeCount,
    Mjcf,
    ModeName,
    Robot,
    Seed,
    TransportName,
)

if TYPE_CHECKING:
    from gac_ros.evaluation.evaluate import EvaluationRequest


class ReplanningName(str, Enum):
    """When plans are made again during an episode."""

    NEVER = "never"
    PERIODIC = "periodic"
    SURPRISED = "surprised"


Out = Annotated[
    Path, typer.Option("--out", help="Folder for results.json, the bags (episodes/) and the logs.")
]
Transport = Annotated[
    TransportName,
    typer.Option(
        "--transport",
        help="ros: simulator and controller are two processes on a real ROS graph. inproc: "
        "the same control loop in this process; no ROS needed, same actions and returns.",
    ),
]
Mode = Annotated[
    ModeName,
    typer.Option(
        "--mode",
        help="How plans are made. exploit: for the highest return. explore: for a return "
        "above the data's best. posterior: Latent Plan Transformer's sampling, a baseline.",
    ),
]
RealTimeFactor = Annotated[
    float | None,
    typer.Option(
        "--real-time-factor",
        min=0.01,
        help="Simulated seconds a second, 1 is real time. Default: lock-step, in which the "
        "simulator waits for each action, so that the result is exact and repeatable.",
    ),
]
Replanning = Annotated[
    ReplanningName,
    typer.Option(
        "--replanning",
        help="When to plan again during an episode. periodic: every 50 steps. surprised: when "
        "the predicted return falls behind what the plan promised.",
    ),
]
Record = Annotated[bool, typer.Option("--record/--no-record", help="Keep every episode as a bag.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results.json of an earlier run.")
]


def evaluate(
    context: typer.Context,
    robot: Robot,
    out: Out,
    checkpoint: CheckpointPath = None,
    episodes: EpisodeCount = 20,
    seed: Seed = 0,
    transport: Transport = TransportName.ROS,
    mode: Mode = ModeName.EXPLOIT,
    real_time_factor: RealTimeFactor = None,
    replanning: Replanning = ReplanningName.NEVER,
    mjcf: Mjcf = None,
    device: Device = "cpu",
    record: Record = True,
    overwrite: Overwrite = False,
) -> None:
    """Score a checkpoint on a simulated robot.

    Runs the episodes, prints a table, and writes results.json: for each episode its seed, return,
    length, normalised score (0 = random policy, 100 = expert), latency and bag; then the means
    with a 95 % interval, and what was run.

    Example: `gac evaluate --robot pointmaze_umaze --checkpoint runs/umaze --episodes 20
    --out out/umaze`
    """
    from gac_ros.evaluation.evaluate import EvaluationRequest
    from gac_ros.replanning.config import ReplanningConfig

    run_and_report(
        EvaluationRequest(
            robot=robot,
            out=out,
            episodes=episodes,
            seed=seed,
            transport=transport.value,
            mode=mode.value,
            replanning=ReplanningConfig(when=replanning.value),
            checkpoint=checkpoint,
            mjcf=mjcf,
            device=device,
            record=record,
            real_time_factor=real_time_factor,
            overwrite=overwrite,
            command_line=command_line(context),
        )
    )


def run_and_report(request: EvaluationRequest) -> None:
    """Evaluate with a progress display and print the closing table."""
    from gac_ros.evaluation.evaluate import evaluate as run
    from gac_ros.evaluation.evaluate import note_score
    from gac_ros.evaluation.report import print_report
    from gac_ros.evaluation.results import RESULTS_FILE

    with episode_progress(request.episodes, "running") as on_episode:
        result = run(request, on_episode)
    console = make_console()
    print_report(result, console)
    console.print(f"Results: {request.out / RESULTS_FILE}", soft_wrap=True)
    # A packaged checkpoint has its scores already, and lies in the package.
    if request.checkpoint is not None and note_score(result):
        console.print(
            f"The mean return is noted beside the checkpoint (gac lineage {request.checkpoint}).",
            soft_wrap=True,
        )
