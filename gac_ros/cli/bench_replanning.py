"""`gac bench replanning`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.bench_output import print_table
from gac_ros.cli.display import counted_progress, make_console
from gac_ros.cli.options import ModeName, Seed


class StartsName(str, Enum):
    """Which starts the episodes have."""

    TUNING = "tuning"
    REPORTING = "reporting"


Robots = Annotated[
    list[str],
    typer.Option("--robot", help="With a packaged checkpoint; may be given several times."),
]
Modes = Annotated[
    list[ModeName],
    typer.Option("--mode", help="How the plans are made; may be given several times."),
]
Episodes = Annotated[
    int, typer.Option("--episodes", min=2, help="Of each robot, mode, disturbance and rule.")
]
Hindsight = Annotated[
    int,
    typer.Option(
        "--hindsight",
        min=0,
        help="Episodes for the bound: the best of all known plans, found by trying each.",
    ),
]
Starts = Annotated[
    StartsName,
    typer.Option("--starts", help="tuning: while settings are chosen. reporting: figures."),
]
Period = Annotated[int | None, typer.Option("--period", min=1, help="Steps between two looks.")]
Shortfall = Annotated[float | None, typer.Option("--shortfall", min=0.0, help="What surprises.")]
Margin = Annotated[
    float | None, typer.Option("--margin", min=0.0, help="What a new plan must promise more.")
]
EpisodesFile = Annotated[
    Path | None,
    typer.Option("--json", help="File of the episodes; what it holds is not run again."),
]


def replanning(
    robots: Robots = ["pointmaze_medium", "hopper"],  # noqa: B006 (typer reads it, nobody changes it)
    modes: Modes = [ModeName.EXPLOIT, ModeName.POSTERIOR],  # noqa: B006
    episodes: Episodes = 100,
    hindsight: Hindsight = 0,
    starts: Starts = StartsName.REPORTING,
    seed: Seed = 0,
    period: Period = None,
    shortfall: Shortfall = None,
    margin: Margin = None,
    json_file: EpisodesFile = None,
) -> None:
    """Compare planning once an episode, every so many steps, and when surprised.

    Undisturbed, pushed and, in mazes, moved in mid-episode; the same starts for each rule. Can be
    interrupted: the same command with the same --json goes on after the last finished cell.

    Example: `gac bench replanning --json replanning.json`
    """
    from gac_ros.bench.replanning import compare, count_episodes, default_cases, run_cells
    from gac_ros.bench.replanning_table import COLUMNS, replanning_rows
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.replanning.config import ReplanningConfig

    given = {"period": period, "shortfall": shortfall, "margin": margin}
    config = ReplanningConfig.model_validate({k: v for k, v in given.items() if v is not None})
    cases = default_cases(robots, [mode.value for mode in modes])
    total = count_episodes(cases, episodes, hindsight)
    with one_thread(), counted_progress(total, "episodes") as advance:
        cells = run_cells(
            cases,
            config,
            episodes=episodes,
            starts=starts.value,
            seed=seed,
            hindsight=hindsight,
            file=json_file,
            on_episode=advance,
        )
    title = "Return with plans made again, and difference between twins"
    print_table(title, COLUMNS, replanning_rows(compare(cells)))
    if json_file is not None:
        make_console().print(f"Figures: {json_file}", soft_wrap=True)
