"""`gac bench plans`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import counted_progress, make_console
from gac_ros.cli.options import Robot, Seed


def plans(
    robot: Robot,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="A training run, whose episodes' plans are shown too, or a checkpoint. "
            "Default: the one packaged for the robot.",
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="The training's folder of bags, to colour plans by return."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the JSON file and the pictures.")
    ] = Path("docs/results"),
    count: Annotated[int, typer.Option("--count", min=1, help="Plans of each kind.")] = 12,
    starts: Annotated[int, typer.Option("--starts", min=1, help="Roll-outs of each.")] = 4,
    seed: Seed = 0,
) -> None:
    """Roll plans out: what they promise, what they achieve, and where they lie.

    Writes plans_ROBOT.json with the calibration of the critic, and pictures: predicted against
    achieved return, the plan space, and a maze's trajectories. The starts are tuning starts.

    Example: `gac bench plans --robot pointmaze_umaze --checkpoint runs/umaze --data episodes/umaze`
    """
    from gac_ros.bench.goals import write_measurement
    from gac_ros.bench.plans import draw_plans, summarize, try_plans
    from gac_ros.buffer.dataset import EpisodeBuffer
    from gac_ros.embodiment import find_embodiment
    from gac_ros.evaluation.evaluate import load_checkpoint_for
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.training.state import known_chains

    embodiment = find_embodiment(robot)
    model = load_checkpoint_for(embodiment, checkpoint)
    assert model.path is not None
    chains = known_chains(model.path)
    returns = {}
    if data:
        buffer = EpisodeBuffer.open(data, embodiment=embodiment)
        returns = dict(zip(buffer.ids, map(float, buffer.returns), strict=True))
    kinds = 1 + min(count, len(model.best_plans)) + min(count, len(chains)) + count
    with one_thread(), counted_progress(kinds, "plans") as advance:
        trials = try_plans(
            model, chains, count=count, starts=starts, seed=seed, on_plan=lambda: advance()
        )
    figures = summarize(trials)
    write_measurement(out / f"plans_{embodiment.name}.json", (), figures)
    files = draw_plans(trials, model, chains, returns, out)
    console = make_console()
    for kind in ("exploit", "best", "chain", "prior", "all"):
        if kind in figures:
            found = figures[kind]
            rho = found["rank_correlation"]
            console.print(
                f"{kind:10} {found['plans']:3} plans: predicted {found['predicted_mean']:8.1f}, "
                f"achieved {found['achieved_mean']:8.1f}"
                + ("" if rho is None else f", rank correlation {rho:.2f}")
            )
    for file in (out / f"plans_{embodiment.name}.json", *files):
        console.print(str(file), soft_wrap=True)
