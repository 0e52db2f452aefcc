"""How long a plan takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.spread import Spread
from gac_ros.checkpoint import Checkpoint

CANDIDATES = 32


class PlanTime(BaseModel):
    """Milliseconds of one way to plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    milliseconds: Spread


class PlanReport(BaseModel):
    """What `measure_plans` found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    times: list[PlanTime]


def measure_plans(
    checkpoint: Checkpoint, *, repeats: int, on_round: Callable[[], None] = lambda: None
) -> PlanReport:
    """Time plans of each kind in turns.

    Args:
        checkpoint: whose sizes, and number of best plans, count.
        repeats: rounds; in each, every way has its turn.
        on_round: told of every finished round.
    """
    default = checkpoint.make_planner()
    wide = checkpoint.make_planner(start="best", candidates=CANDIDATES)
    target = default.default_target("explore")

    def explore_wide(seed: int) -> None:
        samples = wide.sample(CANDIDATES, target, 1.0, torch.Generator().manual_seed(seed))
        samples.cpu()  # a GPU is waited for, as every plan waits for it

    ways: dict[str, Callable[[int], object]] = {
        "exploit": lambda seed: default.plan("exploit", seed),
        f"exploit, {CANDIDATES} candidates": lambda seed: wide.plan("exploit", seed),
        "explore": lambda seed: default.plan("explore", seed),
        f"explore, {CANDIDATES} candidates": explore_wide,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(repeats + 1):
        for name, plan in ways.items():
            begun = time.perf_counter()
            plan(seed)
            if seed > 0:  # the first round loads what PyTorch needs
                seconds[name].append(time.perf_counter() - begun)
        if seed > 0:
            on_round()
    return PlanReport(
        times=[
            PlanTime(name=name, milliseconds=Spread.of([1e3 * value for value in values]))
            for name, values in seconds.items()
        ]
    )
