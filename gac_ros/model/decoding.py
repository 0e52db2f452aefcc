"""Decoding step by step: one observation in, one mean action out, batch of one.

Two decoders with the same verbs. `ReferenceDecoder` runs the generator's own `step` in PyTorch, on
any device. `FoldedDecoder` is for the CPU, where a network of this size spends its time on calls,
not on arithmetic; it does everything beforehand that does not depend on the observation:

* The residual stream is only ever read through layer norms, which subtract its mean. So the mean is
  taken out of every weight that writes to it, and a norm is left with one scale, 1 / sqrt(x.x / n).
* The norms' gains and offsets, the attention's 1 / sqrt(d) and the constants of GELU go into the
  neighbouring weights; every bias is a further column, read by a constant 1 in the input.
* Cross-attention is linear in the query and in the values, and the plan stays: its keys merge with
  the query projection, its values with the output projection, once a plan.
* What the time features add to a token is a table over the episode's steps.
* All results go to buffers made beforehand.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gac_ros.model.generator import Generator, Layer, RingCache

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Decoder(Protocol):
    """The running state of one episode."""

    def start(self, z: Float32) -> None:
        """Forget the history and follow the plan z (N, D)."""
        ...

    def change(self, z: Float32) -> None:
        """Follow another plan from the next step on.

        The steps in the window stay as they were seen under the old plan, and leave it one by one:
        a change takes the same time however long the window is.
        """
        ...

    def rewind(self) -> None:
        """Forget the history, and keep the plan."""
        ...

    def step(self, observation: Float32) -> Float32:
        """Mean action (A,) for a normalised observation (O,), normalised, the caller's to keep."""
        ...


def make_decoder(generator: Generator) -> Decoder:
    """The fastest decoder for the device that the generator is on."""
    device = next(generator.parameters()).device
    return FoldedDecoder(generator) if device.type == "cpu" else ReferenceDecoder(generator)


class ReferenceDecoder:
    """The generator's own `step` in PyTorch, on any device; the other one is tested against it.

    Raises:
        RuntimeError: `step` before `start`.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._device = next(generator.parameters()).device
        self._cache: RingCache | None = None
        self._previous = torch.zeros(1, generator.config.action_size, device=self._device)

    def start(self, z: Float32) -> None:
        """Forget the history and follow the plan z (N, D)."""
        with torch.inference_mode():
            self._cache = self._generator.start(torch.from_numpy(z).to(self._device)[None])
        self._previous = torch.zeros_like(self._previous)

    def change(self, z: Float32) -> None:
        """Follow the plan z (N, D) from the next step on."""
        if self._cache is None:
            raise RuntimeError("call start(z) before change(z)")
        with torch.inference_mode():
            plan = torch.from_numpy(z).to(self._device)[None]
            self._cache.plan = self._generator.start(plan).plan

    def rewind(self) -> None:
        """Forget the history, and keep the plan."""
        if self._cache is None:
            raise RuntimeError("call start(z) before rewind()")
        self._cache.rewind()
        self._previous = torch.zeros_like(self._previous)

    def step(self, observation: Float32) -> Float32:
        """Mean action (A,) for a normalised observation (O,), normalised."""
        if self._cache is None:
            raise RuntimeError("call start(z) before step(observation)")
        with torch.inference_mode():
            inputs = torch.from_numpy(observation).to(self._device)[None]
            mean = self._generator.step(self._cache, inputs, self._previous)
            self._previous = mean.clamp(-1.0, 1.0)
        return mean[0].cpu().numpy()


class FoldedDecoder:
    """NumPy with folded weights and no allocation on the way; see the module's text.

    The weights are copied: later changes of the generator do not reach it.

    Raises:
        RuntimeError: `step` before `start`.
    """

    def __init__(self, generator: Generator) -> None:
        config = self._config = generator.config
        width = config.width
        observed = config.observation_features
        weight = _centred(_array(generator.embed_observation.weight))
        self._embed = _packed(weight[:, :observed])
        self._embed_time = _packed(weight[:, observed:])
        self._embed_action = None
        if generator.embed_action is not None:
            self._embed_action = _packed(
                _centred(_array(generator.embed_action.weight)),
                _centred(_array(generator.embed_action.bias)),
            )
        bias = _centred(_array(generator.embed_observation.bias))
        self._embed_bias = bias.astype(np.float32)
        octaves = 2.0 ** np.arange(config.observation_frequencies)
        self._octaves = (0.5 * np.pi * octaves).astype(np.float32)
        self._observed = np.zeros(observed, dtype=np.float32)
        self._angles = np.zeros((config.observation_size, len(octaves)), dtype=np.float32)
        self._frequencies = np.arange(1, config.time_frequencies + 1, dtype=np.float32)
        self._time_features = np.zeros(config.time_features, dtype=np.float32)
        self._time_rows = [self._time_row(step) for step in range(config.episode_length)]
        layers = [layer for layer in generator.layers if isinstance(layer, Layer)]
        self._layers = [_FoldedLayer(layer) for layer in layers]
        norm, linear = generator.head
        assert isinstance(norm, torch.nn.LayerNorm)
        assert isinstance(linear, torch.nn.Linear)
        self._head = _packed(*_after_norm(linear, norm))
        self._head_norm = _Norm(norm, width)
        self._token = np.zeros(width, dtype=np.float32)
        self._previous = _with_one(config.action_size)
        self._tokens = 0
        self._step = 0
        self._started = False

    def start(self, z: Float32) -> None:
        """Forget the history and follow the plan z (N, D)."""
        for layer in self._layers:
            layer.follow(z)
        self._started = True
        self.rewind()

    def change(self, z: Float32) -> None:
        """Follow the plan z (N, D) from the next step on."""
        if not self._started:
            raise RuntimeError("call start(z) before change(z)")
        for layer in self._layers:
            layer.follow(z)

    def rewind(self) -> None:
        """Forget the history, and keep the plan."""
        if not self._started:
            raise RuntimeError("call start(z) before rewind()")
        self._previous[:-1] = 0.0
        self._tokens = 0
        self._step = 0

    def step(self, observation: Float32) -> Float32:
        """Mean action (A,) for a normalised observation (O,), normalised."""
        if not self._started:
            raise RuntimeError("call start(z) before step(observation)")
        token = self._token
        if self._embed_action is not None:
            np.dot(self._embed_action, self._previous, out=token)
            self._take(token)
        np.dot(self._embed, self._observation_features(observation), out=token)
        in_table = self._step < len(self._time_rows)  # no episode should be longer
        row = self._time_rows[self._step] if in_table else self._time_row(self._step)
        np.add(token, row, out=token)
        self._take(token)
        self._step += 1
        mean = np.dot(self._head, self._head_norm(token))
        if self._embed_action is not None:
            np.clip(mean, -1.0, 1.0, out=self._previous[:-1])
        return mean

    def _observation_features(self, observation: Float32) -> Float32:
        """See `generator.observation_features`; the next call overwrites it."""
        features, angles, size = self._observed, self._angles, len(observation)
        features[:size] = observation
        np.multiply(observation[:, None], self._octaves, out=angles)
        flat = angles.reshape(-1)
        np.sin(flat, out=features[size : size + len(flat)])
        np.cos(flat, out=features[size + len(flat) :])
        return features

    def _take(self, token: Float32) -> None:
        for layer in self._layers:
            layer.step(token, self._tokens)
        self._tokens += 1

    def _time_row(self, step: int) -> Float32:
        """What time and bias add to the token of a step, (width,); see `time_features`."""
        if not self._config.time_features:
            return self._embed_bias
        phase = np.float32(step) / np.float32(self._config.episode_length)
        angles = np.float32(np.pi) * phase * self._frequencies
        features = self._time_features
        features[0] = phase
        np.sin(angles, out=features[1 : 1 + len(angles)])
        np.cos(angles, out=features[1 + len(angles) :])
        return np.dot(self._embed_time, features) + self._embed_bias


class _FoldedLayer:
    """One layer: its folded weights, the window's queries, keys and values, and its buffers."""

    def __init__(self, layer: Layer) -> None:
        width = layer.query_key_value.in_features
        self._heads = heads = layer.heads
        self._size = size = width // heads
        self._window = window = layer.window
        scale = size**-0.5

        weight, bias = _after_norm(layer.query_key_value, layer.self_norm)
        weight[:width] *= scale
        bias[:width] *= scale
        self._query_key_value = _packed(weight, bias)
        self._self_out = _packed(*_centred_linear(layer.self_out))
        self._self_norm = _Norm(layer.self_norm, width)

        query, query_bias = _after_norm(layer.cross_query, layer.cross_norm)
        self._cross_query = scale * np.column_stack((query, query_bias))
        self._plan_weight = _array(layer.plan_key_value.weight)
        self._plan_bias = _array(layer.plan_key_value.bias)
        self._cross_out = _centred_linear(layer.cross_out)
        self._cross_norm = _Norm(layer.cross_norm, width)

        norm, up, _, down = layer.mlp
        assert isinstance(norm, torch.nn.LayerNorm)
        assert isinstance(up, torch.nn.Linear)
        assert isinstance(down, torch.nn.Linear)
        # GELU(x) = x / 2 (1 + erf(x / sqrt 2)) = (u + u erf(u)) / sqrt 2 with u = x / sqrt 2.
        up_weight, up_bias = _after_norm(up, norm)
        down_weight, down_bias = _centred_linear(down)
        self._up = _packed(up_weight / math.sqrt(2.0), up_bias / math.sqrt(2.0))
        self._down = _packed(down_weight / math.sqrt(2.0), down_bias)
        self._mlp_norm = _Norm(norm, width)

        # Row = token index % window. Attention reads its keys and values where they were written.
        self._ring = np.zeros((window, 3 * width), dtype=np.float32)
        by_head = self._ring.reshape(window, 3, heads, size).transpose(1, 2, 0, 3)
        self._keys, self._values = by_head[1], by_head[2]  # (heads, window, size)
        self._rows = list(self._ring)
        self._queries = [row[:width].reshape(heads, size, 1) for row in self._rows]
        self._biases, self._first_biases = _window_biases(_array(layer.distance_bias))

        self._softmax = _Softmax(heads, window)
        self._attended = _with_one(width)
        self._attended_by_head = self._attended[:-1].reshape(heads, 1, size)
        self._written = np.zeros(width, dtype=np.float32)
        self._hidden = _with_one(4 * width)
        self._hidden_input = np.zeros(4 * width, dtype=np.float32)
        self._erf = np.zeros(4 * width, dtype=np.float32)
        self._erf_input_tensor = torch.from_numpy(self._hidden_input)
        self._erf_tensor = torch.from_numpy(self._erf)

    def follow(self, z: Float32) -> None:
        """Merge the plan's keys and values with the projections around them."""
        heads, size, tokens = self._heads, self._size, z.shape[0]
        key_value = z.astype(np.float64) @ self._plan_weight.T + self._plan_bias
        key, value = key_value.reshape(tokens, 2, heads, size).transpose(1, 2, 0, 3)
        query = self._cross_query.reshape(heads, size, -1)
        self._plan_query = _packed((key @ query).reshape(heads * tokens, -1))
        weight, bias = self._cross_out
        out = value @ weight.reshape(-1, heads, size).transpose(1, 2, 0)  # (heads, tokens, width)
        self._plan_out = _packed(out.reshape(heads * tokens, -1).T, bias)
        self._plan_softmax = _Softmax(heads, tokens)
        self._plan_scores = self._plan_softmax.scores.reshape(-1)
        self._plan_shares = _with_one(heads * tokens)
        self._plan_shares_by_head = self._plan_shares[:-1].reshape(heads, tokens)

    def step(self, x: Float32, token: int) -> None:
        """Add the layer to the residual stream x (width,), in place; `token` counts from 0."""
        slot = token % self._window
        np.dot(self._query_key_value, self._self_norm(x), out=self._rows[slot])
        softmax = self._softmax
        np.matmul(self._keys, self._queries[slot], out=softmax.scores_column)
        biases = self._first_biases if token < self._window else self._biases
        np.add(softmax.scores, biases[slot], out=softmax.scores)
        softmax.into(softmax.scores)
        np.matmul(softmax.scores_row, self._values, out=self._attended_by_head)
        np.dot(self._self_out, self._attended, out=self._written)
        np.add(x, self._written, out=x)

        np.dot(self._plan_query, self._cross_norm(x), out=self._plan_scores)
        self._plan_softmax.into(self._plan_shares_by_head)
        np.dot(self._plan_out, self._plan_shares, out=self._written)
        np.add(x, self._written, out=x)

        hidden = self._hidden_input
        np.dot(self._up, self._mlp_norm(x), out=hidden)
        torch.special.erf(self._erf_input_tensor, out=self._erf_tensor)  # NumPy has none
        np.multiply(self._erf, hidden, out=self._erf)
        np.add(self._erf, hidden, out=self._hidden[:-1])
        np.dot(self._down, self._hidden, out=self._written)
        np.add(x, self._written, out=x)


class _Norm:
    """What folding leaves of a layer norm, and the 1 that reads the next weight's bias."""

    def __init__(self, norm: torch.nn.LayerNorm, width: int) -> None:
        self._epsilon = float(norm.eps)
        self._share = 1.0 / width
        self._out = _with_one(width)
        self._values = self._out[:-1]

    def __call__(self, x: Float32) -> Float32:
        """A stream without mean (width,) -> (width + 1,); the next call overwrites it."""
        scale = (float(np.dot(x, x)) * self._share + self._epsilon) ** -0.5
        np.multiply(x, scale, out=self._values)
        return self._out


class _Softmax:
    """Softmax over the last axis of `scores` (heads, count), which it overwrites."""

    def __init__(self, heads: int, count: int) -> None:
        self.scores = np.zeros((heads, count), dtype=np.float32)
        self.scores_column = self.scores[:, :, None]
        self.scores_row = self.scores[:, None, :]
        self._per_head = np.zeros((heads, 1), dtype=np.float32)

    def into(self, out: Float32) -> None:
        """Write the softmax of `scores` to `out` (heads, count)."""
        scores, per_head = self.scores, self._per_head
        np.maximum.reduce(scores, axis=1, out=per_head, keepdims=True)
        np.subtract(scores, per_head, out=scores)
        np.exp(scores, out=scores)
        np.add.reduce(scores, axis=1, out=per_head, keepdims=True)
        np.divide(scores, per_head, out=out)


def _window_biases(by_distance: Float64) -> tuple[list[Float32], list[Float32]]:
    """Attention biases (heads, window) by the newest token's slot, from biases by distance.

    Returns:
        Those of a full window, and those of the first tokens, with -inf where nothing is yet.
    """
    window = by_distance.shape[1]
    slots = np.arange(window)
    full = [by_distance[:, (slot - slots) % window].astype(np.float32) for slot in slots]
    first = [np.where(slots <= slot, bias, np.float32("-inf")) for slot, bias in enumerate(full)]
    return full, first


def _array(tensor: torch.Tensor) -> Float64:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _centred(writer: Float64) -> Float64:
    """A weight or bias that writes to the residual stream, without the mean it would write."""
    return writer - writer.mean(axis=0)


def _centred_linear(linear: torch.nn.Linear) -> tuple[Float64, Float64]:
    return _centred(_array(linear.weight)), _centred(_array(linear.bias))


def _after_norm(linear: torch.nn.Linear, norm: torch.nn.LayerNorm) -> tuple[Float64, Float64]:
    """Weight and bias of a linear layer that read the norm's input, once scaled."""
    weight = _array(linear.weight)
    return weight * _array(norm.weight), weight @ _array(norm.bias) + _array(linear.bias)


def _packed(weight: Float64, bias: Float64 | None = None) -> Float32:
    """A weight (outputs, inputs [+ 1]) in the memory order in which products are quickest."""
    whole = weight if bias is None else np.column_stack((weight, bias))
    narrow = whole.astype(np.float32)
    wide = whole.shape[1] > whole.shape[0]
    return np.asfortranarray(narrow) if wide else np.ascontiguousarray(narrow)


def _with_one(size: int) -> Float32:
    """A buffer (size + 1,) of zeros and, for the bias, a one."""
    buffer = np.zeros(size + 1, dtype=np.float32)
    buffer[-1] = 1.0
    return buffer
