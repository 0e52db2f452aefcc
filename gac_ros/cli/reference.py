"""`gac reference`."""

from __future__ import annotations

from typing import Annotated

import typer

from gac_ros.cli.display import make_console
from gac_ros.cli.options import Robot, Seed


def reference(
    robot: Robot,
    episodes: Annotated[int, typer.Option("--episodes", min=2, help="How many episodes.")] = 100,
    seed: Seed = 0,
) -> None:
    """Measure the returns that count as score 0 and 100 in a maze.

    Runs the random policy (0) and the waypoint expert that knows the map (100), and prints their
    mean returns beside those that scores are computed with.

    Example: `gac reference --robot pointmaze_umaze --episodes 200`
    """
    from rich.table import Table

    from gac_ros.evaluation.seeds import Purpose, episode_seed
    from gac_ros.sim.scores import measure_reference_scores, normalized_score

    first = episode_seed(seed, 0, Purpose.REFERENCE)
    scores = measure_reference_scores(robot, episodes, first)
    table = Table(title=f"{robot}: {episodes} episodes each, seed {seed}")
    for heading in ("policy", "mean return", "standard error", "score"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy, measured in (("random", scores.random), ("expert", scores.expert)):
        score = normalized_score(robot, measured.mean)
        table.add_row(
            policy,
            f"{measured.mean:.1f}",
            f"{measured.standard_error:.1f}",
            "–" if score is None else f"{score:.1f}",
        )
    make_console().print(table)
