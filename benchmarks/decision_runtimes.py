"""The default model's decision by several runtimes, in turns, on one processor thread.

    pip install onnx onnxruntime onnxscript
    python benchmarks/decision_runtimes.py --json docs/results/decision_runtimes.json

The policy's own way (NumPy with folded weights) against PyTorch as it is, TorchScript,
torch.compile and AOTInductor (both want a C++ compiler) and ONNX Runtime (which the package does
not need otherwise). What is not there is left out, and said so. Each way must give the reference's
actions. It takes a minute or two; `gac bench report` shows the file in docs/rate.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from gac_ros.bench.control import DecisionTime
from gac_ros.bench.goals import write_measurement
from gac_ros.bench.spread import Spread
from gac_ros.embodiment import find_embodiment
from gac_ros.evaluation.threads import one_thread
from gac_ros.model.decoding import FoldedDecoder, ReferenceDecoder
from gac_ros.model.generator import Generator, Layer, observation_features
from gac_ros.training.config import TrainingConfig

POLICY = "NumPy, folded weights (the policy)"
REFERENCE = "PyTorch, step by step"
STEPS = 200  # of an episode, in each round
TOLERANCE = 1e-4

Float32 = NDArray[np.float32]


class Way(Protocol):
    """A decision's way from an observation to an action, both NumPy's."""

    def start(self, z: Float32) -> None:
        """Follow the plan z (N, D) from the beginning."""

    def step(self, observation: Float32) -> Float32:
        """Mean action (A,) for an observation (O,)."""


class StaticStep(nn.Module):
    """`Generator.step` without Python state, as compilers and exporters need it.

    For models without action tokens and time features, as the default is.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        config = generator.config
        if config.action_tokens or config.time_frequencies:
            raise ValueError("action tokens and time features are not supported here")
        self.generator = generator

    def forward(
        self, observation: Tensor, tokens: Tensor, cache: Tensor, plan: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean action (1, A), and the cache with this step in it.

        Args:
            observation: (1, O).
            tokens: steps so far, a whole number ().
            cache: keys and values (layers, 2, heads, window, width / heads).
            plan: keys and values of the plan (layers, 2, heads, N, width / heads).
        """
        generator = self.generator
        x = generator.embed_observation(observation_features(observation, generator.config))[
            :, None
        ]
        slots = torch.arange(cache.shape[3])
        slot = tokens % cache.shape[3]
        here = (slots == slot)[None, :, None]
        ages = (slot - slots) % cache.shape[3]
        caches = []
        for index, layer in enumerate(generator.layers):
            assert isinstance(layer, Layer)
            query, key, value = layer.project(x)
            keys = torch.where(here, key[0], cache[index, 0])
            values = torch.where(here, value[0], cache[index, 1])
            caches.append(torch.stack((keys, values)))
            bias = layer.distance_bias[:, ages].masked_fill(ages > tokens, float("-inf"))
            attended = scaled_dot_product_attention(
                query, keys[None], values[None], attn_mask=bias[None, :, None]
            )
            x = layer.after_self_attention(
                x, attended, (plan[index, 0][None], plan[index, 1][None])
            )
        return generator.head(x[:, 0]), torch.stack(caches)


class Compiled:
    """A `StaticStep` that some runtime made quicker, with the state it leaves to its caller.

    Args:
        generator: whose plan keys are used.
        call: takes and gives what `StaticStep.forward` does, as NumPy's arrays or as tensors.
        wrap: makes of a NumPy array what `call` takes.
    """

    def __init__(
        self,
        generator: Generator,
        call: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
        wrap: Callable[[NDArray[Any]], Any] = torch.from_numpy,
    ) -> None:
        self._generator = generator
        self._call = call
        self._wrap = wrap

    def start(self, z: Float32) -> None:
        """As `Way.start`."""
        _, tokens, cache, plan = example(self._generator, z)
        self._cache, self._plan = self._wrap(cache.numpy()), self._wrap(plan.numpy())
        self._tokens = tokens.numpy()

    def step(self, observation: Float32) -> Float32:
        """As `Way.step`."""
        tokens = self._wrap(self._tokens.copy())
        mean, self._cache = self._call(
            self._wrap(observation[None]), tokens, self._cache, self._plan
        )
        self._tokens += 1
        return np.asarray(mean)[0]


def example(generator: Generator, z: Float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `StaticStep` takes at the first step of a plan."""
    with torch.inference_mode():
        ring = generator.start(torch.from_numpy(z)[None])
    pairs = zip(ring.keys, ring.values, strict=True)
    cache = torch.stack([torch.stack((key[0], value[0])) for key, value in pairs])
    plan = torch.stack([torch.stack((key[0], value[0])) for key, value in ring.plan])
    observation = torch.zeros(1, generator.config.observation_size)
    return observation, torch.tensor(0), cache.clone(), plan.clone()


def traced(generator: Generator, inputs: tuple[Tensor, ...]) -> Way:
    """By TorchScript."""
    module = torch.jit.freeze(torch.jit.trace(StaticStep(generator).eval(), inputs))
    return Compiled(generator, module)


def compiled(generator: Generator, inputs: tuple[Tensor, ...]) -> Way:
    """By torch.compile."""
    return Compiled(generator, torch.compile(StaticStep(generator).eval(), fullgraph=True))


def ahead_of_time(generator: Generator, inputs: tuple[Tensor, ...]) -> Way:
    """By AOTInductor."""
    program = torch.export.export(StaticStep(generator).eval(), inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(folder) / "step.pt2")
        )
        return Compiled(generator, torch._inductor.aoti_load_package(path))


def onnx(generator: Generator, inputs: tuple[Tensor, ...]) -> Way:
    """By ONNX Runtime."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        torch.onnx.export(
            StaticStep(generator).eval(), inputs, path, dynamo=True, external_data=False
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    names = [entry.name for entry in session.get_inputs()]

    def call(*values: Any) -> tuple[Any, Any]:
        mean, cache = session.run(None, dict(zip(names, values, strict=True)))
        return mean, cache

    return Compiled(generator, call, wrap=lambda array: array)


OTHERS: dict[str, Callable[[Generator, tuple[Tensor, ...]], Way]] = {
    "TorchScript": traced,
    "torch.compile": compiled,
    "AOTInductor": ahead_of_time,
    "ONNX Runtime": onnx,
}


def make_ways(generator: Generator, z: Float32) -> tuple[dict[str, Way], dict[str, str]]:
    """Every way that works here, and why the others do not."""
    ways: dict[str, Way] = {
        POLICY: FoldedDecoder(generator),
        REFERENCE: ReferenceDecoder(generator),
    }
    left_out = {}
    for name, make in OTHERS.items():
        try:
            way = make(generator, example(generator, z))
            way.start(z)
            with torch.inference_mode():
                way.step(np.zeros(generator.config.observation_size, dtype=np.float32))
        except Exception as error:  # whatever a compiler may complain of
            left_out[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        else:
            ways[name] = way
    return ways, left_out


def run(way: Way, z: Float32, observations: Float32) -> tuple[Float32, list[float]]:
    """The actions of an episode, and the seconds that each took."""
    way.start(z)
    actions, seconds = [], []
    with torch.inference_mode():
        for observation in observations:
            begun = time.perf_counter()
            actions.append(way.step(observation).copy())
            seconds.append(time.perf_counter() - begun)
    return np.array(actions), seconds


def main() -> int:
    """Measure; returns 1 when a way gives other actions than the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = TrainingConfig().model_for(find_embodiment("hopper"))
    generator = Generator(config).eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(config.plan_tokens, config.plan_token_size)).astype(np.float32)
    observations = rng.normal(size=(STEPS, config.observation_size)).astype(np.float32)
    with one_thread():
        ways, left_out = make_ways(generator, z)
        wanted, _ = run(ways[REFERENCE], z, observations)
        wrong = [
            name
            for name, way in ways.items()
            if not np.allclose(run(way, z, observations)[0], wanted, atol=TOLERANCE)
        ]
        times: dict[str, list[float]] = {name: [] for name in ways}
        ratios: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            medians = {}
            for name, way in ways.items():
                seconds = run(way, z, observations)[1]
                times[name] += [1e6 * value for value in seconds]
                medians[name] = float(np.median(seconds))
            for name in ways:
                ratios[name].append(medians[name] / medians[POLICY])
    found = [
        DecisionTime(name=name, microseconds=Spread.of(times[name]), ratio=Spread.of(ratios[name]))
        for name in ways
    ]
    for entry in found:
        spread = entry.microseconds
        print(
            f"{entry.name:36} {spread.median:7.0f} µs, lowest {spread.low:5.0f}, p99 "
            f"{spread.p99:6.0f}; {entry.ratio.median:.2f} times the policy's"
        )
    for name, reason in left_out.items():
        print(f"{name:36} left out: {reason}")
    for name in wrong:
        print(f"{name:36} gives other actions than the reference")
    if arguments.json is not None:
        figures = {"runtimes": [entry.model_dump() for entry in found], "left_out": left_out}
        write_measurement(arguments.json, (), figures)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
