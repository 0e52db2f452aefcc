"""Trains an algorithm of d3rlpy on episodes, and lets a trained one act.

Runs in an environment of its own (see README.md here) and knows nothing of gac_ros: the episodes
come as an .npz file, observations and actions go through pipes. `gac bench learning` starts it.

    worker.py train --data D.npz --algorithm td3_bc --rewards end --seed 0 --cpu-seconds 300 --out M
    worker.py act --model M

Settings are d3rlpy's defaults with what its own reproduction scripts add to them (`recipe`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import d3rlpy
import numpy as np
import torch
from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import (
    MultiplyRewardScaler,
    ReturnBasedRewardScaler,
    StandardObservationScaler,
)

ALGORITHMS = ("td3_bc", "iql", "cql", "decision_transformer")
MODEL_FILE = "model.d3"
RECORD_FILE = "training.json"
# More steps than any budget of time allows.
_ENDLESS = 1_000_000_000
_STEPS_AN_EPOCH = 100
# d3rlpy scales Hopper's target return of 3600 by 0.001.
_SCALED_TARGET_RETURN = 3.6


class BudgetSpentError(Exception):
    """The training has had its processor time."""


class Data:
    """Episodes end to end, T+1 observations and T actions and rewards each."""

    def __init__(self, path: Path, rewards: str) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.observations = file["observations"].astype(np.float32)
            self.actions = file["actions"].astype(np.float32)
            self.lengths = file["lengths"].astype(int)
            self.terminated = file["terminated"].astype(bool)
            all_rewards = file["rewards"].astype(np.float32)
        self.ends = np.cumsum(self.lengths)
        self.returns = np.add.reduceat(all_rewards, self.ends - self.lengths)
        self.at_end = rewards == "end"
        self.rewards = all_rewards
        if self.at_end:
            self.rewards = np.zeros_like(all_rewards)
            self.rewards[self.ends - 1] = self.returns

    def episodes(self, *, transitions: bool) -> list[Episode]:
        """Episodes for d3rlpy.

        A time limit is no end of the task, so d3rlpy looks at the state that followed it, which
        has to stand in the episode as a step of its own; with `transitions` it is added (nothing
        is learned of that step's action). Where the return is paid at the end, the episode is
        over with it.
        """
        episodes = []
        for index, (length, end) in enumerate(zip(self.lengths, self.ends, strict=True)):
            first = end - length
            observations = self.observations[first + index : end + index + 1]
            actions, rewards = self.actions[first:end], self.rewards[first:end, None]
            over = bool(self.terminated[index]) or self.at_end
            if over or not transitions:
                observations = observations[:-1]
            else:
                actions = np.concatenate([actions, np.zeros_like(actions[:1])])
                rewards = np.concatenate([rewards, np.zeros_like(rewards[:1])])
            episodes.append(Episode(observations, actions, rewards, terminated=over))
        return episodes


def recipe(algorithm: str, data: Data) -> Any:
    """Configuration: the library's defaults, and what its reproduction scripts add to them.

    Their learning-rate schedules are left out: they are made for 100,000 steps and more.
    """
    standardized = StandardObservationScaler(
        mean=data.observations.mean(0), std=data.observations.std(0)
    )
    if algorithm == "td3_bc":
        return d3rlpy.algos.TD3PlusBCConfig(observation_scaler=standardized)
    if algorithm == "iql":
        scaler = ReturnBasedRewardScaler(
            return_max=float(data.returns.max()),
            return_min=float(data.returns.min()),
            multiplier=1000.0,
        )
        return d3rlpy.algos.IQLConfig(reward_scaler=scaler)
    if algorithm == "cql":
        encoder = d3rlpy.models.VectorEncoderFactory([256, 256, 256])
        return d3rlpy.algos.CQLConfig(
            actor_encoder_factory=encoder, critic_encoder_factory=encoder, alpha_learning_rate=0.0
        )
    if algorithm == "decision_transformer":
        return d3rlpy.algos.DecisionTransformerConfig(
            encoder_factory=d3rlpy.models.VectorEncoderFactory([128], exclude_last_activation=True),
            optim_factory=d3rlpy.optimizers.AdamWFactory(weight_decay=1e-4, clip_grad_norm=0.25),
            observation_scaler=standardized,
            reward_scaler=MultiplyRewardScaler(_SCALED_TARGET_RETURN / float(data.returns.max())),
            max_timestep=int(data.lengths.max()),
        )
    raise ValueError(algorithm)


def train(options: argparse.Namespace, tell: BinaryIO) -> None:
    """Train for a budget of processor time and write the model's folder, whole or not at all."""
    random.seed(options.seed)
    d3rlpy.seed(options.seed)
    data = Data(options.data, options.rewards)
    transformer = options.algorithm == "decision_transformer"
    dataset = ReplayBuffer(InfiniteBuffer(), episodes=data.episodes(transitions=not transformer))
    algorithm = recipe(options.algorithm, data).create(device="cpu")
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0

    def on_step(_algorithm: Any, _epoch: int, step: int) -> None:
        nonlocal steps
        steps = step
        spent = time.process_time() - cpu
        if step % _STEPS_AN_EPOCH == 0:
            tell.write(json.dumps({"step": step, "cpu": spent}).encode() + b"\n")
            tell.flush()
        if spent >= options.cpu_seconds:
            raise BudgetSpentError

    settings = {
        "n_steps": _ENDLESS,
        "n_steps_per_epoch": _STEPS_AN_EPOCH,
        "logger_adapter": NoopAdapterFactory(),
        "show_progress": False,
        "callback": on_step,
    }
    with contextlib.suppress(BudgetSpentError):
        algorithm.fit(dataset, **settings)
    record = {
        "algorithm": options.algorithm,
        "steps": steps,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "target_return": float(data.returns.max()),
        "settings": json.loads(algorithm.config.serialize()),
        "versions": {"d3rlpy": d3rlpy.__version__, "torch": torch.__version__},
    }
    aside = options.out.with_name(f".{options.out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    algorithm.save(str(aside / MODEL_FILE))
    (aside / RECORD_FILE).write_text(json.dumps(record))
    aside.rename(options.out)


def act(options: argparse.Namespace, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer each observation with an action until the other end closes the pipe.

    A request is float64: 1 at the start of an episode else 0, the last reward, the observation;
    the answer is the action as float64.
    """
    record = json.loads((options.model / RECORD_FILE).read_text())
    algorithm = d3rlpy.load_learnable(str(options.model / MODEL_FILE), device="cpu")
    sequential = None
    if record["algorithm"] == "decision_transformer":
        sequential = algorithm.as_stateful_wrapper(target_return=record["target_return"])
    (size,) = algorithm.observation_shape
    request = struct.Struct(f"<{2 + size}d")
    answers.write(struct.pack("<q", size))
    answers.flush()
    while len(content := asked.read(request.size)) == request.size:
        started, reward, *numbers = request.unpack(content)
        observation = np.array(numbers, dtype=np.float32)
        if sequential is None:
            action = algorithm.predict(observation[None])[0]
        else:
            if started:
                sequential.reset()
            action = sequential.predict(observation, float(reward))
        answers.write(np.asarray(action, dtype="<f8").tobytes())
        answers.flush()


def main() -> None:
    """Do what the command line asks for."""
    # The library prints to stdout; what is ours goes through a copy that it cannot reach.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--algorithm", choices=ALGORITHMS, required=True)
    training.add_argument("--rewards", choices=("steps", "end"), required=True)
    training.add_argument("--seed", type=int, required=True)
    training.add_argument("--cpu-seconds", type=float, required=True)
    training.add_argument("--out", type=Path, required=True)
    acting = commands.add_parser("act")
    acting.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "train":
        train(options, channel)
    else:
        act(options, sys.stdin.buffer, channel)


if __name__ == "__main__":
    main()
