"""Situations and advice as bytes between the control loop and the planning process.

Plain float64 numbers in a fixed order: quick to write on the control path, and nothing that could
run code. NaN stands for None.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gac_ros.model.config import ModelConfig
from gac_ros.planning import MODES, Plan
from gac_ros.replanning.situation import Advice, Situation, Surprise

_SURPRISES: tuple[Surprise, ...] = ("", "shortfall", "unlikely")
_SITUATION_HEAD = 8
_ADVICE_HEAD = 6


def encode_situation(situation: Situation) -> bytes:
    """A situation; the plan's own predictions do not travel."""
    plan = situation.plan
    head = (
        situation.step,
        _number(situation.promised),
        _number(situation.reward_sum),
        situation.may_change,
        situation.seed,
        len(situation.actions),
        MODES.index(plan.mode),
        _number(plan.target_return),
    )
    arrays = (
        plan.z0,
        plan.z,
        situation.observation,
        situation.observations,
        situation.actions,
    )
    return _joined(head, arrays)


def decode_situation(data: bytes, config: ModelConfig) -> Situation:
    """Inverse of `encode_situation`."""
    numbers = np.frombuffer(data)
    step, promised, earned, may_change, seed, steps, mode, target = numbers[
        :_SITUATION_HEAD
    ].tolist()
    plan_shape = (config.plan_tokens, config.plan_token_size)
    shapes = (
        plan_shape,
        plan_shape,
        (config.observation_size,),
        (int(steps), config.observation_size),
        (int(steps), config.action_size),
    )
    z0, z, observation, observations, actions = _split(numbers[_SITUATION_HEAD:], shapes)
    plan = Plan(z0, z, MODES[int(mode)], math.nan, math.nan, _optional(target))
    return Situation(
        step=int(step),
        plan=plan,
        promised=_optional(promised),
        reward_sum=_optional(earned),
        observation=observation,
        observations=observations,
        actions=actions,
        may_change=bool(may_change),
        seed=int(seed),
    )


def encode_advice(advice: Advice) -> bytes:
    """Advice; mode and target of its plan are those of the situation and do not travel."""
    plan = advice.plan
    head = (
        advice.step,
        advice.outlook,
        _SURPRISES.index(advice.surprise),
        plan is not None,
        math.nan if plan is None else plan.predicted_return,
        math.nan if plan is None else plan.predicted_return_std,
    )
    return _joined(head, () if plan is None else (plan.z0, plan.z))


def decode_advice(data: bytes, asked: Situation) -> Advice:
    """Inverse of `encode_advice`."""
    numbers = np.frombuffer(data)
    step, outlook, surprise, changes, predicted, spread = numbers[:_ADVICE_HEAD].tolist()
    plan = None
    if changes:
        shape = asked.plan.z0.shape
        z0, z = _split(numbers[_ADVICE_HEAD:], (shape, shape))
        plan = Plan(z0, z, asked.plan.mode, predicted, spread, asked.plan.target_return)
    return Advice(int(step), outlook, _SURPRISES[int(surprise)], plan)


def _joined(head: tuple[float, ...], arrays: tuple[NDArray[np.float32], ...]) -> bytes:
    return np.concatenate((head, *(array.reshape(-1) for array in arrays)), dtype=float).tobytes()


def _split(
    numbers: NDArray[np.float64], shapes: tuple[tuple[int, ...], ...]
) -> list[NDArray[np.float32]]:
    arrays, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        arrays.append(numbers[begin:end].reshape(shape).astype(np.float32))
        begin = end
    return arrays


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _optional(value: float) -> float | None:
    return None if math.isnan(value) else value
