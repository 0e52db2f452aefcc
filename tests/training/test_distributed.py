"""Several processes train the very model that one trains."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from gac_ros.checkpoint import load_checkpoint
from gac_ros.training.peers import Peers
from gac_ros.training.state import read
from gac_ros.training.trainer import Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment

ROOT = Path(__file__).parents[2]
METHODS = ("gac", "behaviour_cloning")
ITERATIONS = 12
# float32 sums in another order; the difference grows with the iterations.
TOLERANCE = 1e-4

# One launch for all, as starting processes is what takes the time.
SCRIPT = f"""
import shutil, sys
from pathlib import Path
import numpy as np
import torch
from gac_ros.training.distributed import training_processes
from gac_ros.training.run import run_training
from tests.training.test_distributed import METHODS, curve, trainer

torch.set_num_threads(1)
out = Path(sys.argv[1])
with training_processes(2, torch.device("cpu")) as (peers, device):
    assert peers.count == 2
    for method in METHODS:
        one = trainer(method, peers)
        reports = []
        run_training(one, out / method, on_step=reports.append)
        np.save(out / f"{{method}}-{{peers.rank}}.npy", curve(reports))
    if peers.rank == 0:  # as if killed after the first save
        shutil.copytree(out / "gac", out / "parts", symlinks=True)
        shutil.rmtree(out / "parts" / "step-{ITERATIONS:08d}")
        (out / "parts" / "latest").unlink()
        (out / "parts" / "latest").symlink_to("step-{ITERATIONS // 2:08d}")
    peers.wait()
    run_training(trainer("gac", peers), out / "parts", resume=True)
    run_training(trainer("gac", peers), out / "nothing", resume=True)
"""


def trainer(method: str, peers: Peers | None = None) -> Trainer:
    # Three episodes a batch: now and then, all of them belong to one process.
    config = small_config(
        method=method,
        iterations=ITERATIONS,
        save_every=ITERATIONS // 2,
        log_every=4,
        batch_episodes=3,
        langevin_steps=2,
    )
    return Trainer(toy_buffer(), toy_embodiment(), config, seed=3, peers=peers)


def curve(reports: list[object]) -> np.ndarray:
    return np.array([astuple(report) for report in reports])


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory):
    """The folder of what two processes trained, and how they ended."""
    folder = tmp_path_factory.mktemp("distributed")
    script = folder / "train.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return folder, done


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_loss_curve_the_weights_and_the_chains_of_one(
    two_processes, method: str
) -> None:
    folder, done = two_processes
    one = trainer(method)
    expected = curve([one.step() for _ in range(ITERATIONS)])
    for rank in (0, 1):
        found = np.load(folder / f"{method}-{rank}.npy")
        assert np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE), done.stderr
    model = load_checkpoint(folder / method).model.state_dict()
    for key, value in one.model.state_dict().items():
        # Softmax does not see a bias of all keys: its gradient is rounding, which Adam blows up.
        if key.endswith("key_value.bias"):
            continue
        # The tokens of a plan that is zero are all alike: it does not matter what is asked of them.
        if method == "behaviour_cloning" and ("cross_query" in key or "cross_norm" in key):
            continue
        assert torch.allclose(model[key], value, atol=TOLERANCE), key
    chains = read(folder / method / "latest").tensors["chains"]
    assert torch.allclose(chains, one.chains, atol=TOLERANCE)


def test_two_processes_interrupted_and_resumed_equal_two_uninterrupted(two_processes) -> None:
    folder, _ = two_processes
    whole, parts = (load_checkpoint(folder / name) for name in ("gac", "parts"))
    assert whole.lineage.iterations == ITERATIONS
    assert whole.digest == parts.digest
    tensors = [read(folder / name / "latest").tensors for name in ("gac", "parts")]
    for key, value in tensors[0].items():
        assert torch.equal(value, tensors[1][key]), key


def test_a_mistake_is_told_by_the_first_process_and_ends_all(two_processes) -> None:
    _, done = two_processes
    assert done.returncode == 1
    assert done.stderr.count("CheckpointError: nothing to resume") == 1


def test_every_episode_belongs_to_exactly_one_process() -> None:
    episodes = np.array([7, 3, 12, 0, 5])
    owned = np.concatenate([Peers(rank, 3).own(episodes) for rank in range(3)])
    assert sorted(owned) == [0, 1, 2, 3, 4]
    assert list(Peers().own(episodes)) == [0, 1, 2, 3, 4]
