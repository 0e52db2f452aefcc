"""Learns online with an algorithm of d3rlpy, beside a robot that somebody else runs.

As worker.py it runs in an environment of its own and knows nothing of gac_ros;
`gac bench online-value-based` starts it.

    online_worker.py --data D.npz --algorithm rlpd --seed 0

Requests are JSON objects, one a line on stdin; each is answered by one on stdout:

    {"do": "describe"}                                      {"settings": {...}, "versions": {...}}
    {"do": "seed", "seed": 1}                               {}
    {"do": "act", "observation": [...], "explore": true}    {"action": [...]}
    {"do": "add", "observations": [...], "actions": [...], "return": 1.0}    {}
    {"do": "learn", "updates": 10}                          {"cpu": 0.5}
    {"do": "save", "path": "m.pt"} or "load"                {}

The return is paid with an episode's last step, which ends it; before it there is no reward.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import SAC, CalQLConfig, SACConfig
from d3rlpy.algos.qlearning.torch.sac_impl import SACActorLoss, SACImpl
from d3rlpy.dataset import Episode, InfiniteBuffer, MixedReplayBuffer, ReplayBuffer
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.models.torch import (
    ContinuousEnsembleQFunctionForwarder,
    build_squashed_gaussian_distribution,
    get_parameter,
)
from d3rlpy.preprocessing import MinMaxActionScaler
from worker import Data

ALGORITHMS = ("cal_ql", "rlpd")
# NumPy takes no larger seeds.
_SEEDS = 2**32


class RlpdImpl(SACImpl):
    """SAC as in RLPD (arXiv 2302.02948, algorithm 1): d3rlpy's takes the least of all critics.

    The target is the lesser of two critics drawn at random, the actor climbs the mean of all.
    """

    def compute_target(self, batch: Any) -> torch.Tensor:
        """Value of the next state."""
        with torch.no_grad():
            distribution = build_squashed_gaussian_distribution(
                self._modules.policy(batch.next_observations)
            )
            action, log_probability = distribution.sample_with_log_prob()
            drawn = ContinuousEnsembleQFunctionForwarder(
                random.sample(list(self._targ_q_func_forwarder.forwarders), 2), self._action_size
            )
            value = drawn.compute_target(batch.next_observations, action, "min")
            return value - get_parameter(self._modules.log_temp).exp() * log_probability

    def compute_actor_loss(self, batch: Any, action: Any) -> SACActorLoss:
        """Loss of the policy; that of the temperature has its step in here, as d3rlpy's has."""
        distribution = build_squashed_gaussian_distribution(action)
        sampled, log_probability = distribution.sample_with_log_prob()
        temperature_loss = self.update_temp(log_probability)
        temperature = get_parameter(self._modules.log_temp).exp()
        value = self._q_func_forwarder.compute_expected_q(batch.observations, sampled, "mean")
        return SACActorLoss(
            actor_loss=(temperature * log_probability - value).mean(),
            temp_loss=temperature_loss,
            temp=temperature[0][0],
        )

    def update_actor(self, batch: Any) -> dict[str, float]:
        """A step of the policy; no time is spent on gradients of the critics that nobody uses."""
        critics = list(self._modules.q_funcs.parameters())
        for parameter in critics:
            parameter.requires_grad_(False)
        try:
            return super().update_actor(batch)
        finally:
            for parameter in critics:
                parameter.requires_grad_(True)


class Rlpd(SAC):
    """SAC with the two changes above."""

    def inner_create_impl(self, observation_shape: Any, action_size: int) -> None:
        """The library's networks and optimisers under RLPD's rules."""
        super().inner_create_impl(observation_shape, action_size)
        made = self._impl
        self._impl = RlpdImpl(
            observation_shape=observation_shape,
            action_size=action_size,
            modules=made._modules,
            q_func_forwarder=made._q_func_forwarder,
            targ_q_func_forwarder=made._targ_q_func_forwarder,
            gamma=self._config.gamma,
            tau=self._config.tau,
            compiled=self.compiled,
            device=self._device,
        )


def make_algorithm(name: str, actions: MinMaxActionScaler) -> Any:
    """The library's defaults, and what its reproduction script or the paper adds to them.

    Cal-QL: the learning rate of the actor and the threshold of the script for Minari. RLPD: ten
    critics with layer normalisation.
    """
    if name == "cal_ql":
        config = CalQLConfig(action_scaler=actions, actor_learning_rate=3e-4, alpha_threshold=0.8)
        return config.create(device="cpu")
    config = SACConfig(
        action_scaler=actions,
        n_critics=10,
        critic_encoder_factory=VectorEncoderFactory(use_layer_norm=True),
    )
    return Rlpd(config, "cpu", False)


class Learner:
    """The algorithm, the episodes it began with, and those it was given since."""

    def __init__(self, data: Path, algorithm: str) -> None:
        with np.load(data, allow_pickle=False) as file:
            low, high = file["action_low"], file["action_high"]
        self._dataset = ReplayBuffer(
            InfiniteBuffer(), episodes=Data(data, "end").episodes(transitions=True)
        )
        self._collected: ReplayBuffer | None = None
        self._buffer: ReplayBuffer | MixedReplayBuffer = self._dataset
        self._algorithm = make_algorithm(algorithm, MinMaxActionScaler(minimum=low, maximum=high))
        self._algorithm.build_with_dataset(self._dataset)

    def describe(self) -> dict[str, Any]:
        """Settings and versions, for the record."""
        config = self._algorithm.config
        return {
            "settings": json.loads(config.serialize()),
            "versions": {"d3rlpy": d3rlpy.__version__, "torch": torch.__version__},
        }

    def seed(self, seed: int) -> dict[str, Any]:
        """Begin all random numbers anew."""
        d3rlpy.seed(seed % _SEEDS)
        return {}

    def act(self, observation: list[float], explore: bool) -> dict[str, Any]:
        """Sampled from the policy, or its mode."""
        batch = np.array([observation], dtype=np.float32)
        choose = self._algorithm.sample_action if explore else self._algorithm.predict
        return {"action": choose(batch)[0].astype(float).tolist()}

    def add(self, **episode: Any) -> dict[str, Any]:
        """Take in an episode: observations (T+1, O), actions (T, A) and its return."""
        actions = np.array(episode["actions"], dtype=np.float32)
        rewards = np.zeros((len(actions), 1), dtype=np.float32)
        rewards[-1] = episode["return"]
        observations = np.array(episode["observations"], dtype=np.float32)[:-1]
        added = Episode(observations, actions, rewards, terminated=True)
        if self._collected is None:
            self._collected = ReplayBuffer(InfiniteBuffer(), episodes=[added])
            # Half of each batch from either, as both papers do.
            self._buffer = MixedReplayBuffer(self._collected, self._dataset, 0.5)
        else:
            self._collected.append_episode(added)
        return {}

    def learn(self, updates: int) -> dict[str, Any]:
        """Make gradient steps."""
        before = time.process_time()
        for _ in range(updates):
            batch = self._buffer.sample_transition_batch(self._algorithm.config.batch_size)
            losses = self._algorithm.update(batch)
            if not all(map(np.isfinite, losses.values())):
                raise FloatingPointError(f"a loss is not finite: {losses}")
        return {"cpu": time.process_time() - before}

    def save(self, path: str) -> dict[str, Any]:
        """Write weights and the optimisers' state."""
        self._algorithm.save_model(path)
        return {}

    def load(self, path: str) -> dict[str, Any]:
        """Read them."""
        self._algorithm.load_model(path)
        return {}


def main() -> None:
    """Answer requests until the other end closes the pipe."""
    # The library prints to stdout; what is ours goes through a copy that it cannot reach.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    # Where every return is 0, values shrink to numbers that processors are slow with.
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--algorithm", choices=ALGORITHMS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    d3rlpy.seed(options.seed % _SEEDS)
    learner = Learner(options.data, options.algorithm)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(learner, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
