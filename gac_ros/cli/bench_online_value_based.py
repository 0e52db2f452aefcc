"""`gac bench online-value-based`."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.bench_learning import ValueBased, ValueBasedPython
from gac_ros.cli.display import command_line, make_console
from gac_ros.cli.online import RoundProgress, draw_rounds
from gac_ros.cli.online_options import InitialData, Keep, KeepName, Out, Resume, Seed
from gac_ros.cli.options import Robot


class AlgorithmName(str, Enum):
    """What learns."""

    CAL_QL = "cal_ql"
    RLPD = "rlpd"


Algorithm = Annotated[
    AlgorithmName,
    typer.Option(
        "--algorithm",
        help="cal_ql: Calibrated Q-Learning, an offline phase first. rlpd: Reinforcement Learning "
        "with Prior Data, online from the beginning.",
    ),
]
Episodes = Annotated[int, typer.Option("--episodes", min=1, help="To collect in all.")]
RoundEpisodes = Annotated[
    int, typer.Option("--round-episodes", min=1, help="Collected between two reports.")
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        help="Robot steps to collect in all, however many episodes that takes, in as many rounds "
        "as --episodes would take. Default: --episodes alone count.",
    ),
]
EvaluationEpisodes = Annotated[
    int, typer.Option("--evaluation-episodes", min=0, help="Of each report.")
]
UpdatesPerStep = Annotated[
    float,
    typer.Option("--updates-per-step", help="Gradient steps for each step of the robot."),
]
OfflineUpdates = Annotated[
    int,
    typer.Option("--offline-updates", min=0, help="Gradient steps of an offline phase."),
]
CpuSeconds = Annotated[
    float | None,
    typer.Option(
        "--cpu-seconds",
        help="Processor time for gradient steps in all, shared out evenly among the episodes; "
        "what it does not suffice for is left out. Default: as long as they take.",
    ),
]
OfflineShare = Annotated[
    float,
    typer.Option("--offline-share", help="Share of --cpu-seconds that an offline phase has."),
]


def online_value_based(
    context: typer.Context,
    robot: Robot,
    algorithm: Algorithm,
    out: Out,
    data: InitialData = None,
    keep: Keep = KeepName.ALL,
    seed: Seed = 0,
    episodes: Episodes = 300,
    round_episodes: RoundEpisodes = 50,
    steps: Steps = None,
    evaluation_episodes: EvaluationEpisodes = 50,
    updates_per_step: UpdatesPerStep = 1.0,
    offline_updates: OfflineUpdates = 10_000,
    cpu_seconds: CpuSeconds = None,
    offline_share: OfflineShare = 0.25,
    value_based: ValueBased = Path("benchmarks/value_based"),
    value_based_python: ValueBasedPython = None,
    resume: Resume = False,
) -> None:
    """Run a value-based method that gac online is compared with, on the same starts.

    It sees each episode's return with the last step, and no reward before. `gac bench online`
    keeps the run's figures and compares them. Can be interrupted: --resume goes on after the last
    complete round.

    Example: `gac bench online-value-based --robot pointmaze_umaze --initial-data episodes/umaze
    --keep worst-half --algorithm rlpd --cpu-seconds 900 --out runs/rlpd-0`
    """
    from pydantic import ValidationError

    from gac_ros.bench.learning.library import Library
    from gac_ros.bench.provenance import commit
    from gac_ros.bench.value_based.learner import WORKER_SCRIPT
    from gac_ros.bench.value_based.request import ValueBasedConfig, ValueBasedRequest
    from gac_ros.bench.value_based.run import run_value_based
    from gac_ros.buffer.remote import as_place
    from gac_ros.errors import ConfigurationError
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.online.report import rounds_table
    from gac_ros.online.results import RESULTS_FILE

    if not data:
        raise ConfigurationError("name the episodes to begin with: --initial-data")
    try:
        config = ValueBasedConfig(
            algorithm=algorithm.value,
            episodes=episodes,
            round_episodes=round_episodes,
            steps=steps,
            evaluation_episodes=evaluation_episodes,
            updates_per_step=updates_per_step,
            offline_updates=offline_updates,
            cpu_seconds=cpu_seconds,
            offline_share=offline_share,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = "--" + str(problem["loc"][0]).replace("_", "-")
        raise ConfigurationError(f"{option}: {problem['msg']}") from error
    request = ValueBasedRequest(
        robot=robot,
        out=out,
        config=config,
        initial_data=tuple(map(as_place, data)),
        library=Library(value_based, value_based_python, WORKER_SCRIPT),
        keep=keep.value,
        seed=seed,
        resume=resume,
        command_line=command_line(context),
        commit=commit(),
    )
    with one_thread():
        rounds = run_value_based(request, RoundProgress())
    console = make_console()
    console.print(rounds_table(rounds, f"{robot}: {algorithm.value}, seed {seed}"))
    console.print(f"Results:    {out / RESULTS_FILE}", soft_wrap=True)
    draw_rounds(out)
    console.print(f"Keep them:  gac bench online {shlex.quote(str(out))}", soft_wrap=True)
