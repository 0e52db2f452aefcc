"""Mean and confidence interval of a handful of episode scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None without values."""
    return float(np.mean(values)) if values else None


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean; None with fewer than two values.

    It assumes independent episodes and says how far the mean of this many episodes may be from
    that of very many; it knows nothing of other training seeds.
    """
    if len(values) < 2:
        return None
    center = float(np.mean(values))
    standard_error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = t_quantile(0.5 + confidence / 2.0, len(values) - 1) * standard_error
    return center - half, center + half


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution, for probabilities of at least one half.

    Found by bisection of `t_probability_within`: no library that this package needs anyway has it.
    """
    if not 0.5 <= probability < 1.0:
        raise ValueError(f"the probability {probability} is not in [0.5, 1)")
    within = 2.0 * probability - 1.0
    low, high = 0.0, 1.0
    while t_probability_within(high, degrees) < within:
        low, high = high, 2.0 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        if t_probability_within(middle, degrees) < within:
            low = middle
        else:
            high = middle
    return high


def t_probability_within(t: float, degrees: int) -> float:
    """P(|T| <= t) for a whole number of degrees of freedom, a finite sum.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    if degrees < 1:
        raise ValueError("a t distribution needs at least one degree of freedom")
    theta = math.atan(t / math.sqrt(degrees))
    sine, squared_cosine = math.sin(theta), math.cos(theta) ** 2
    odd = degrees % 2 == 1
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for k in range(1, (degrees - 1) // 2 + 1 if odd else degrees // 2 + 1):
        total += term
        term *= squared_cosine * (2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    if odd:
        return 2.0 / math.pi * (theta + sine * total)
    return sine * total
