"""Put copies of a good model with noise in their weights before the gate of `gac improve`.

    python benchmarks/sabotaged_candidate.py --starts 40 --json sabotage.json

The packaged umaze model acts. Each candidate is the same model whose every weight had normal noise
added, in shares of the standard deviation of its tensor, and goes through `gac improve --candidate`
as a model from elsewhere would. None may come to act.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from gac_ros.bench.goals import at_most, write_measurement
from gac_ros.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gac_ros.cli import main
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import DeploymentConfig
from gac_ros.lineage import read_scores
from gac_ros.model.gac import GacModel
from gac_ros.resources import packaged_checkpoint

ROBOT = "pointmaze_umaze"


def sabotaged(checkpoint: Checkpoint, noise: float, seed: int) -> Checkpoint:
    """The checkpoint with noise in its weights, in shares of each tensor's standard deviation."""
    model = GacModel(checkpoint.model.config)
    model.load_state_dict(checkpoint.model.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            drawn = torch.randn(weights.shape, generator=generator)
            weights.add_(noise * weights.std(correction=0) * drawn)
    model.eval().requires_grad_(False)
    return replace(checkpoint, model=model)


def judge(place: Path, candidate: Checkpoint, starts: int) -> dict[str, Any]:
    """Have one candidate judged against the packaged model.

    Args:
        place: an empty folder.
        candidate: the model.
        starts: of the gate.
    """
    good = save_checkpoint(load_checkpoint(packaged_checkpoint(ROBOT)), place / "good")
    bad = save_checkpoint(candidate, place / "candidate")
    folder = DeploymentFolder(place / "deployment")
    folder.begin(name_checkpoint(good), DeploymentConfig())
    settings = place / "settings.yaml"
    settings.write_text(f"gate_episodes: {starts}\n")
    code = main(
        [
            *("improve", "--robot", ROBOT, "--out", str(place / "run")),
            *("--config", str(settings), "--deployment", str(folder.directory)),
            *("--candidate", str(bad)),
        ]
    )
    state = folder.read()
    (score,) = (score for score in read_scores(bad) if score.purpose == "gate")
    return {
        "exit_code": code,
        "acted": any(entry.event == "taken" for entry in state.log),
        "event": state.log[-1].event,
        "why": state.log[-1].why,
        "return_mean": score.return_mean,
        "difference": score.difference,
    }


def benchmark(
    noise: Annotated[list[float] | None, typer.Option(help="Shares; may be repeated.")] = None,
    starts: Annotated[int, typer.Option(min=2, help="Of the gate.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Figures.")] = None,
) -> None:
    """Judge sabotaged candidates and count those that came to act."""
    good = load_checkpoint(packaged_checkpoint(ROBOT))
    found: list[dict[str, Any]] = []
    for share in noise or (0.1, 0.3, 1.0):
        with TemporaryDirectory(prefix="gac-sabotage-") as name:
            result = judge(Path(name), sabotaged(good, share, seed), starts)
        found.append({"noise": share, **result})
        print(json.dumps(found[-1]), flush=True)
    goals = [at_most("sabotaged candidates that acted", sum(one["acted"] for one in found), 0)]
    print("met" if all(goal.met for goal in goals) else "NOT MET")
    if json_file is not None:
        write_measurement(json_file, goals, {"starts": starts, "seed": seed, "candidates": found})


if __name__ == "__main__":
    typer.run(benchmark)
