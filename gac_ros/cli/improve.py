"""`gac improve`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import make_console
from gac_ros.cli.online import RoundProgress, draw_rounds
from gac_ros.cli.online_options import (
    Collect,
    Episodes,
    InitialData,
    Keep,
    KeepName,
    Out,
    Resume,
    Seed,
    TransportOption,
    make_request,
    read_settings,
)
from gac_ros.cli.options import Device, Mjcf, Robot, TransportName

if TYPE_CHECKING:
    from rich.table import Table

    from gac_ros.deployment.state import DeploymentState
    from gac_ros.online.request import OnlineRequest
    from gac_ros.online.results import RoundResult

REFUSED = 1
_SHORT = 12


Deployment = Annotated[
    Path | None,
    typer.Option(
        "--deployment",
        help="Folder that says which checkpoint acts; controllers with the parameter "
        "'deployment' follow it. Default: OUT/deployment.",
    ),
]
FirstCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Checkpoint to begin with. Default: the one that acts in --deployment, else one "
        "trained on --initial-data.",
    ),
]
RobotEpisodes = Annotated[
    Path | None,
    typer.Option(
        "--robot-episodes",
        help="Folder that the controller of a running robot records into (its record.directory). "
        "Its new episodes are what is collected, and tell how a candidate does live; the simulator "
        "only compares. Default: the robot is simulated here.",
    ),
]
Candidate = Annotated[
    Path | None,
    typer.Option(
        "--candidate",
        help="Collect and train nothing: judge this checkpoint as a round judges its own, and "
        "have it take over if it is better. Exit code 1 when it does not.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings (*.yaml). Default: config/train/improve.yaml."),
]


def improve(
    context: typer.Context,
    robot: Robot,
    out: Out,
    deployment: Deployment = None,
    robot_episodes: RobotEpisodes = None,
    data: InitialData = None,
    keep: Keep = KeepName.ALL,
    checkpoint: FirstCheckpoint = None,
    candidate: Candidate = None,
    collect: Collect = None,
    episodes: Episodes = None,
    config: ConfigFile = None,
    seed: Seed = 0,
    transport: TransportOption = TransportName.INPROC,
    mjcf: Mjcf = None,
    device: Device = "cpu",
    resume: Resume = False,
) -> None:
    """Get better while running: gac online, and the better model goes live by itself.

    After each round the candidate is compared with who acts on equal starts in the simulator. A
    better one computes in shadow on the running robot, then acts on trial; when the live return
    falls, the former one acts again. Every decision is in the promotions log. The run can be
    interrupted at any time: --resume continues it.

    With --robot-episodes the robot runs elsewhere, its controller with the parameters deployment,
    mode (auto) and record.directory; this command waits for its episodes.

    Example: `gac improve --robot pointmaze_umaze --initial-data episodes/umaze --keep worst-half
    --out runs/umaze-improve`
    """
    from dataclasses import replace

    from gac_ros.deployment.folder import DeploymentFolder
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.improve.config import ImproveConfig
    from gac_ros.improve.loop import run_improve
    from gac_ros.online.report import rounds_table
    from gac_ros.online.request import recorded_checkpoint
    from gac_ros.online.results import RESULTS_FILE
    from gac_ros.resources import config_directory

    file = config or config_directory() / "train" / "improve.yaml"
    settings = read_settings(ImproveConfig, file, collect, episodes)
    folder = DeploymentFolder((deployment or out / "deployment").absolute())
    if checkpoint is None and resume:
        checkpoint = recorded_checkpoint(out)
    elif checkpoint is None and candidate is None and folder.exists:
        checkpoint = Path(folder.read().acting.path)
    request = make_request(
        context, settings, robot, out, data, keep, checkpoint, seed, transport, mjcf, device, resume
    )
    request = replace(request, robot_episodes=robot_episodes)
    console = make_console()
    with one_thread():
        if candidate is not None:
            _judge(request, folder.directory, candidate)
            return
        try:
            rounds = run_improve(request, folder.directory, RoundProgress())
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command with --resume goes on", err=True)
            raise
    title = f"{robot}: collecting by {settings.collect}, seed {seed}"
    console.print(rounds_table(rounds, title))
    state = folder.read()
    console.print(promotions_table(state))
    console.print(f"Results:    {out / RESULTS_FILE}", soft_wrap=True)
    draw_rounds(out)
    console.print(f"Acting:     {state.acting.path}", soft_wrap=True)
    console.print(f"Descent:    {_lineage_command(out, rounds)}", soft_wrap=True)


def _lineage_command(out: Path, rounds: list[RoundResult]) -> str:
    """What shows all checkpoints of a run, the one it was given among them."""
    first = out / rounds[0].incumbent  # absolute where it lies elsewhere
    folders = [out] if first.is_relative_to(out) else [out, first]
    return shlex.join(["gac", "lineage", *map(str, folders)])


def _judge(request: OnlineRequest, directory: Path, candidate: Path) -> None:
    from gac_ros.improve.loop import judge_candidate

    console = make_console()
    gate, live = judge_candidate(request, directory, candidate, RoundProgress())
    if live is None:
        console.print(f"refused: {gate.words}", soft_wrap=True)
    else:
        console.print(f"accepted by the gate: {gate.words}; {live.why}", soft_wrap=True)
    if live is None or not live.kept:
        raise typer.Exit(REFUSED)


def promotions_table(state: DeploymentState) -> Table:
    """The promotions log: one row a decision."""
    from rich import box
    from rich.table import Table

    table = Table(title="promotions", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("time", "checkpoint", "event"):
        table.add_column(column, no_wrap=True)
    table.add_column("why")
    for entry in state.log:
        table.add_row(entry.time[:19], entry.checkpoint.digest[:_SHORT], entry.event, entry.why)
    return table
