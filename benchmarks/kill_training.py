"""Kill a training at random moments, resume it each time, and compare it with an undisturbed one.

    python benchmarks/kill_training.py --kills 100 --json kills.json

Every process is a real `gac finetune`, ended by SIGKILL after a random time, wherever it is:
loading, in an iteration, or while it saves; a run that came to its end all the same gives way to
another. At the end of each, weights, chains, optimiser and random
states must be equal bit by bit.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gac_ros.bench.goals import at_least, write_measurement
from gac_ros.checkpoint import load_checkpoint
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.training.state import read

ROBOT = "pointmaze_umaze"
SETTINGS = """
batch_episodes: 4
windows: 2
save_every: 3
mode_steps: 2
best_plans: 4
log_every: 50
model: {width: 16, heads: 2, layers: 1, prior_hidden: 16, return_hidden: 16}
"""


def main() -> int:
    """Run; exit code 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options.kills, options.iterations, options.seed)
    print(json.dumps(result, indent=1))
    if options.json is not None:
        goals = [at_least("trainings that ended equal after kills, 1 for all", result["equal"], 1)]
        write_measurement(options.json, goals, result)
    return 0 if result["equal"] else 1


def measure(folder: Path, kills: int, iterations: int, seed: int) -> dict[str, Any]:
    """Kills made, the iterations they hit, and whether all is equal in the end."""
    collect(CollectionRequest(ROBOT, "waypoint", 12, folder / "episodes"))
    (folder / "settings.yaml").write_text(SETTINGS)
    finish(start(folder, "train", "parent", 30))
    whole = start(folder, "finetune", "whole", iterations)
    began = time.monotonic()
    while not newest(folder / "whole") and whole.poll() is None:
        time.sleep(0.02)
    loading = time.monotonic() - began
    finish(whole)
    training = time.monotonic() - began - loading
    moments = random.Random(seed)
    reached: list[int] = []
    runs = 0
    while len(reached) < kills:
        name = f"killed-{runs}"
        while len(reached) < kills:
            process = start(folder, "finetune", name, iterations)
            try:
                # Many fall into the start, and it takes several to come to the end.
                process.wait(timeout=moments.uniform(0.0, loading + 0.5 * training))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                reached.append(newest(folder / name))
                continue
            if process.returncode:
                raise RuntimeError(f"a resumed training ended with code {process.returncode}")
            break
        else:
            finish(start(folder, "finetune", name, iterations))
        if not equal(folder / "whole", folder / name):
            return {"equal": False, "kills": len(reached), "runs": runs}
        runs += 1
    return {
        "equal": True,
        "kills": len(reached),
        "runs": runs,
        "iterations": iterations,
        "loading_seconds": loading,
        "training_seconds": training,
        "saved_iteration_at_kill": reached,
        "states_compared": len(read(folder / "whole" / "latest").tensors),
    }


def equal(first: Path, second: Path) -> bool:
    """Whether two runs ended with the same model and the same state of the training."""
    one, two = (read(run / "latest") for run in (first, second))
    return (
        load_checkpoint(first).digest == load_checkpoint(second).digest
        and one.values == two.values
        and one.tensors.keys() == two.tensors.keys()
        and all(torch.equal(value, two.tensors[key]) for key, value in one.tensors.items())
    )


def start(folder: Path, command: str, run: str, iterations: int) -> subprocess.Popen[bytes]:
    """A training process; it resumes what is there."""
    arguments = [
        *(sys.executable, "-m", "gac_ros.cli", command, "--data", str(folder / "episodes")),
        *("--out", str(folder / run), "--config", str(folder / "settings.yaml")),
        *("--iterations", str(iterations)),
    ]
    if command == "finetune":
        arguments += ["--from", str(folder / "parent")]
    if any((folder / run).glob("step-*")):
        arguments.append("--resume")
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that must succeed."""
    if process.wait():
        raise RuntimeError(f"a training ended with exit code {process.returncode}")


def newest(run: Path) -> int:
    """The newest saved iteration; 0 when there is none."""
    steps = [int(path.name.removeprefix("step-")) for path in run.glob("step-*")]
    return max(steps, default=0)


if __name__ == "__main__":
    sys.exit(main())
