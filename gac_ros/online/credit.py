"""Which steps of its episodes the return is owed to.

A return comes for a whole episode: driving to the goal, staying a while and leaving again are
praised alike. Two regressions tell them apart, without step-wise rewards:

1. Return decomposition (Arjona-Medina et al. 2019, arXiv 1806.07857; Ren et al. 2022, arXiv
   2111.13485): a reward of single steps r(s) whose sum over an episode is its return.
2. What came after a step, a mean of those rewards that counts the near future most, is compared
   with what comes after such a state on average. The advantage weighs the step (advantage-weighted
   regression, Peng et al. 2019, arXiv 1910.00177).

Both are linear in random Fourier features of the state (Rahimi and Recht 2007), so that they have
one solution, found at once, and nothing to tune but how smooth they are, which generalised
cross-validation decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FEATURES = 600
# Lengths, in standard deviations of the observations, over which a function may change.
_SCALES = (1.0, 0.5, 0.25)
# What counts of the future: about so much of an episode.
_HORIZON = 1.0 / 3.0
# Steps that are looked at; of more, every second, third and so on.
_MOST_STEPS = 60_000
_SMOOTHNESS = np.logspace(-9.0, 2.0, 23)
# Below this share of the size of the values, what differs is rounding.
_NEGLIGIBLE = 1e-9

Steps = list[NDArray[np.float64]]
"""One number a step, (T,), of every episode."""


def fourier_features(observations: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of the states of all steps, (sum of T, F).

    Args:
        observations: states of the steps of each episode, (T, O).
    """
    every = np.concatenate(observations)
    mean, scale = every.mean(axis=0), every.std(axis=0)
    random = np.random.default_rng(0)
    frequencies = random.normal(size=(every.shape[1], _FEATURES)) / np.resize(_SCALES, _FEATURES)
    phases = random.uniform(0.0, 2.0 * np.pi, _FEATURES)
    angles = (every - mean) / np.where(scale > 0.0, scale, 1.0) @ frequencies + phases
    return np.asarray(np.cos(angles) * np.sqrt(2.0 / _FEATURES))


def step_rewards(
    states: NDArray[np.float64], lengths: Sequence[int], returns: NDArray[np.float64]
) -> Steps:
    """Rewards of single steps that add up to the returns as well as a smooth function can.

    Args:
        states: features of the steps of all episodes, (sum of T, F).
        lengths: T of each of the N episodes.
        returns: (N,).
    """
    parts, steps = _split(states, lengths), np.array(lengths, dtype=np.float64)
    # What is fitted is the difference from the reward that would explain all returns alike.
    alike = float(steps @ returns) / float(steps @ steps)
    sums = np.stack([part.sum(axis=0) for part in parts])
    weights = _ridge(sums, returns - alike * steps)
    return [alike + part @ weights for part in parts]


def step_credit(
    observations: Sequence[NDArray[np.float64]],
    returns: NDArray[np.float64],
    terminated: Sequence[bool],
) -> Steps:
    """How much better than usual it went on after each step, at least 0.

    In units of the standard deviation of what came after all steps plus that of what came after
    such a state. Scaling the returns changes nothing, nor does shifting those of episodes of equal
    length.

    Args:
        observations: states of the steps of each episode, (T, O).
        returns: (N,).
        terminated: whether the task ended the episode, so that nothing came after it; otherwise
            what would have come is unknown.
    """
    every = max(1, math.ceil(sum(map(len, observations)) / _MOST_STEPS))
    seen = [steps[::every] for steps in observations]
    states, lengths = fourier_features(seen), [len(steps) for steps in seen]
    discount = 1.0 - 1.0 / (1.0 + _HORIZON * max(lengths))
    rewards = step_rewards(states, lengths, returns)
    future = np.concatenate(
        [_future(part, discount, ended) for part, ended in zip(rewards, terminated, strict=True)]
    )
    spread = float(future.std())
    if spread <= _NEGLIGIBLE * float(np.abs(future).max()):
        return [np.zeros(len(steps)) for steps in observations]
    above = future - _smooth(states, future)
    such = np.sqrt(np.clip(_smooth(states, np.square(above)), 0.0, None))
    credit = np.clip(above / (such + spread), 0.0, None)
    return [
        np.repeat(values, every)[: len(steps)]
        for values, steps in zip(_split(credit, lengths), observations, strict=True)
    ]


def _split(values: NDArray[np.float64], lengths: Sequence[int]) -> list[NDArray[np.float64]]:
    return np.split(values, np.cumsum(lengths)[:-1])


def _smooth(states: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth function of the states (N, F), fitted to these values (N,)."""
    mean = values.mean()
    return np.asarray(mean + states @ _ridge(states, values - mean))


def _future(rewards: NDArray[np.float64], discount: float, ended: bool) -> NDArray[np.float64]:
    """Mean of the rewards from each step on, weighted by the discount, (T,); 0 after an end."""
    means = np.empty(len(rewards))
    total, weight = 0.0, 1.0 / (1.0 - discount) if ended else 0.0
    for step in range(len(rewards) - 1, -1, -1):
        total = rewards[step] + discount * total
        weight = 1.0 + discount * weight
        means[step] = total / weight
    return means


def _ridge(inputs: NDArray[np.float64], outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (F,) of inputs (N, F) for outputs (N,), by ridge regression.

    The penalty is the one with the least error by generalised cross-validation (Golub, Heath and
    Wahba 1979).
    """
    values, vectors = np.linalg.eigh(inputs.T @ inputs)
    values = np.clip(values, 0.0, None)
    along = vectors.T @ (inputs.T @ outputs)
    count, square = len(outputs), float(outputs @ outputs)
    best, weights = np.inf, np.zeros(len(values))
    for penalty in _SMOOTHNESS * values[-1]:
        shrunk = along / (values + penalty)
        # Of |outputs - inputs w|^2, without the residuals.
        error = square - 2.0 * float(shrunk @ along) + float(np.square(shrunk) @ values)
        left = count - float((values / (values + penalty)).sum())
        score = count * max(error, 0.0) / left**2 if left > 0.0 else np.inf
        if score < best:
            best, weights = score, vectors @ shrunk
    return weights
