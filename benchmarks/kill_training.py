"""Kill a training at random moments, resume it each time, and compare it with an undisturbed one.

    python benchmarks/kill_training.py --kills 100 --json kills.json

Every process is a real `gac finetune`, ended by SIGKILL after a random time, wherever it is:
loading, in an iteration, or while it saves. At the end weights, chains, optimiser and random
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

import torch

from gac_ros.checkpoint import load_checkpoint
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.training.state import read

ROBOT = "pointmaze_umaze"
SETTINGS = """
batch_episodes: 4
windows: 2
save_every: 3
log_every: 50
model: {width: 16, heads: 2, layers: 1, prior_hidden: 16, return_hidden: 16}
"""


def main() -> int:
    """Run; exit code 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options.kills, options.iterations, options.seed)
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["equal"] else 1


def measure(folder: Path, kills: int, iterations: int, seed: int) -> dict[str, object]:
    """Kills made, the iterations they hit, and whether all is equal in the end."""
    collect(CollectionRequest(ROBOT, "waypoint", 12, folder / "episodes"))
    (folder / "settings.yaml").write_text(SETTINGS)
    finish(start(folder, "train", "parent", 30))
    whole = start(folder, "finetune", "whole", iterations)
    began = time.monotonic()
    finish(whole)
    duration = time.monotonic() - began
    moments = random.Random(seed)
    done = 0
    reached = []
    while done < kills:
        process = start(folder, "finetune", "killed", iterations)
        try:
            # Of the length of a run with a few iterations, so that many kills fall into its start.
            process.wait(timeout=moments.uniform(0.0, 0.3 * duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            reached.append(newest(folder / "killed"))
            continue
        if process.returncode:
            return {"equal": False, "kills": done, "failed": f"exit code {process.returncode}"}
        break
    finish(start(folder, "finetune", "killed", iterations))
    one, two = (read(folder / run / "latest") for run in ("whole", "killed"))
    digests = [load_checkpoint(folder / run).digest for run in ("whole", "killed")]
    tensors = one.tensors.keys() == two.tensors.keys() and all(
        torch.equal(value, two.tensors[key]) for key, value in one.tensors.items()
    )
    return {
        "equal": digests[0] == digests[1] and tensors and one.values == two.values,
        "kills": done,
        "iterations": iterations,
        "saved_iteration_at_kill": reached,
        "states_compared": len(one.tensors),
    }


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
