"""`gac buffer import`: take in data of others as episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import counted_progress, make_console


def import_episodes(
    file: Annotated[
        Path,
        typer.Argument(
            help="Data set of step arrays (*.npz): observations (T+1 an episode), actions, "
            "rewards, lengths, terminated, truncated, and perhaps env_id and note."
        ),
    ],
    robot: Annotated[
        str,
        typer.Option(
            "--robot",
            help="The robot the data are of: a packaged one, or an embodiment file (*.yaml).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that receives one bag an episode.")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many episodes.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", help="Who acted, for the bags' metadata.")
    ] = "imported",
) -> None:
    """Turn a data set of step arrays into episode bags.

    An import that was interrupted goes on where it stopped when it is repeated.

    Example: `gac buffer import hopper.npz --robot hopper --out episodes/hopper`
    """
    from gac_ros.buffer.importing.import_steps import check_environment, import_step_arrays
    from gac_ros.buffer.importing.step_arrays import load_step_arrays
    from gac_ros.embodiment import find_embodiment, known_robots

    embodiment = find_embodiment(robot)
    arrays = load_step_arrays(file)
    # With an embodiment of their own, users say themselves what fits.
    if robot in known_robots():
        check_environment(embodiment, arrays.env_id, origin=str(file))
    total = len(arrays) if limit is None else min(limit, len(arrays))
    with counted_progress(total, "importing") as advance:
        report = import_step_arrays(
            arrays, embodiment, out, limit=limit, policy=policy, on_episode=advance
        )
    present = f" ({report.present} were there already)" if report.present else ""
    make_console().print(
        f"{report.imported} episodes{present}, {report.steps} steps: return mean "
        f"{report.returns.mean():.1f}, best {report.returns.max():.1f}; {report.terminated} "
        f"terminated, {report.truncated} truncated",
        soft_wrap=True,
    )
