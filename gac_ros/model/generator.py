"""The trajectory generator p(tau | z), the actor: a causal Transformer with a bounded window.

Every layer attends to the last K steps and to the tokens of the plan. Two ways to run it give the
same numbers: `forward` over whole windows (training) and `step` with a ring cache of keys and
values (control). Positions enter only as the distance between tokens, which a ring cache knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from gac_ros.model.config import ModelConfig


def time_features(steps: Tensor, config: ModelConfig) -> Tensor:
    """Phase of the episode: t / H and sines and cosines of it. (...) -> (..., 1 + 2 F or 0)."""
    if config.time_frequencies == 0:
        return torch.empty((*steps.shape, 0), device=steps.device)
    phase = steps.clamp(min=0).to(torch.float32).unsqueeze(-1) / config.episode_length
    frequencies = torch.arange(1, config.time_frequencies + 1, device=steps.device)
    angles = math.pi * phase * frequencies
    return torch.cat((phase, torch.sin(angles), torch.cos(angles)), dim=-1)


def observation_features(observations: Tensor, config: ModelConfig) -> Tensor:
    """Observations and octaves of sines and cosines of them. (..., O) -> (..., O (1 + 2 F)).

    The lowest octave has a period of four standard deviations. A network learns smooth functions
    first; these inputs give it the steep ones too (Fourier features, arXiv 2006.10739).
    """
    octaves = 2.0 ** torch.arange(config.observation_frequencies, device=observations.device)
    angles = (observations[..., None] * (0.5 * math.pi * octaves)).flatten(-2)
    return torch.cat((observations, torch.sin(angles), torch.cos(angles)), dim=-1)


class Layer(nn.Module):
    """Pre-norm Transformer layer: self-attention over the window, cross-attention to z, MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.width
        self.window = config.tokens_per_step * config.context
        self.self_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        # One learned bias per head and distance (0 = the token itself).
        self.distance_bias = nn.Parameter(torch.zeros(config.heads, self.window))
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.plan_key_value = nn.Linear(config.plan_token_size, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def split(self, x: Tensor) -> Tensor:
        """(B, L, width) -> (B, heads, L, width / heads)."""
        batch, length, width = x.shape
        return x.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """(B, heads, L, width / heads) -> (B, L, width)."""
        batch, heads, length, size = x.shape
        return x.transpose(1, 2).reshape(batch, length, heads * size)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of self-attention, each (B, heads, L, width / heads)."""
        query, key, value = self.query_key_value(self.self_norm(x)).chunk(3, dim=-1)
        return self.split(query), self.split(key), self.split(value)

    def plan_keys(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the plan (B, N, D), each (B, heads, N, width / heads)."""
        key, value = self.plan_key_value(z).chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def after_self_attention(
        self, x: Tensor, attended: Tensor, plan: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Everything in the layer behind self-attention."""
        x = x + self.self_out(self.merge(attended))
        query = self.split(self.cross_query(self.cross_norm(x)))
        x = x + self.cross_out(self.merge(scaled_dot_product_attention(query, *plan)))
        return x + self.mlp(x)

    def forward(self, x: Tensor, bias: Tensor, plan: tuple[Tensor, Tensor]) -> Tensor:
        """(B, L, width) -> (B, Q, width) for the last Q tokens.

        Args:
            x: tokens (B, L, width).
            bias: (B or 1, heads, Q, L), -inf where hidden.
            plan: the plan's keys and values.
        """
        kept = bias.shape[2]
        query, key, value = self.project(x)
        attended = scaled_dot_product_attention(query[:, :, -kept:], key, value, attn_mask=bias)
        return self.after_self_attention(x[:, -kept:], attended, plan)


@dataclass
class RingCache:
    """Keys and values of the last K steps of every layer, and the plan's own.

    Mutable by design: it is the generator's running state, owned by one policy.

    Attributes:
        keys, values: per layer (B, heads, window, width / heads); slot = token index % window.
        plan: per layer, the plan's keys and values.
        tokens: tokens taken in so far.
        step: control steps taken so far.
    """

    keys: list[Tensor]
    values: list[Tensor]
    plan: list[tuple[Tensor, Tensor]]
    tokens: int = 0
    step: int = 0

    def rewind(self) -> None:
        """Forget the steps, and keep the plan; slots that are not written yet are not read."""
        self.tokens = self.step = 0


class Generator(nn.Module):
    """Mean action given the plan and the recent observations."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_observation = nn.Linear(config.state_features, config.width)
        self.embed_action = (
            nn.Linear(config.action_size, config.width) if config.action_tokens else None
        )
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.head = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, config.action_size)
        )

    def _embed(self, observations: Tensor, previous_actions: Tensor, steps: Tensor) -> Tensor:
        """Tokens of steps (B, L): (B, L, width), or (B, 2 L, width) with action tokens."""
        features = observation_features(observations, self.config)
        inputs = torch.cat((features, time_features(steps, self.config)), dim=-1)
        states = self.embed_observation(inputs)
        if self.embed_action is None:
            return states
        actions = self.embed_action(previous_actions)
        batch, length, width = states.shape
        # a_0 s_1 a_1 s_2 ...: the action that led to a state stands before it.
        return torch.stack((actions, states), dim=2).view(batch, 2 * length, width)

    def _window_bias(self, layer: Layer, present: Tensor, kept: int) -> Tensor:
        """Attention bias (B, heads, Q, L) of the last Q = `kept` tokens.

        Learned by distance, -inf outside the window.
        """
        length = present.shape[1]
        index = torch.arange(length, device=present.device)
        queries = index[-kept:]
        distance = queries[:, None] - index[None, :]
        visible = (distance >= 0) & (distance < layer.window)
        bias = layer.distance_bias[:, distance.clamp(0, layer.window - 1)]
        # A token before the episode's start is hidden from all but itself (a row of -inf only
        # would make softmax NaN; that row's output is never used).
        seen = visible[None] & (present[:, None, :] | (distance == 0))
        return bias[None].masked_fill(~seen[:, None], float("-inf"))

    def forward(
        self,
        z: Tensor,
        observations: Tensor,
        previous_actions: Tensor,
        steps: Tensor,
        present: Tensor,
        burn_in: int = 0,
    ) -> Tensor:
        """Mean actions of windows: g in eq. 3 of docs/method.md.

        Args:
            z: plans (B, N, D).
            observations: normalised, (B, L, O).
            previous_actions: action before each step, normalised, zero at the start, (B, L, A);
                read only with action tokens.
            steps: index of each step in its episode, (B, L).
            present: whether the step exists, (B or 1, L).
            burn_in: steps at the front whose actions nobody asks for; work on what no later step
                needs of them is left out.

        Returns:
            (B, L - burn_in, A), normalised.
        """
        per_step = self.config.tokens_per_step
        x = self._embed(observations, previous_actions, steps)
        present = present.repeat_interleave(per_step, dim=1)
        wanted = (observations.shape[1] - burn_in) * per_step
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            # The tokens that the layers above this one look at.
            above = (len(self.layers) - 1 - index) * (layer.window - 1)
            kept = min(x.shape[1], wanted + above)
            bias = self._window_bias(layer, present[:, -x.shape[1] :], kept)
            x = layer(x, bias, layer.plan_keys(z))
        return self.head(x[:, per_step - 1 :: per_step])

    def start(self, z: Tensor) -> RingCache:
        """An empty cache for plans z (B, N, D)."""
        config = self.config
        window = config.tokens_per_step * config.context
        shape = (z.shape[0], config.heads, window, config.width // config.heads)
        layers = [layer for layer in self.layers if isinstance(layer, Layer)]
        return RingCache(
            keys=[z.new_zeros(shape) for _ in layers],
            values=[z.new_zeros(shape) for _ in layers],
            plan=[layer.plan_keys(z) for layer in layers],
        )

    def step(self, cache: RingCache, observation: Tensor, previous_action: Tensor) -> Tensor:
        """Mean action (B, A) of the next step; takes the step into the cache.

        Args:
            cache: changed in place.
            observation: normalised, (B, O).
            previous_action: normalised, zero at the first step, (B, A).
        """
        steps = torch.full((observation.shape[0], 1), cache.step, device=observation.device)
        tokens = self._embed(observation[:, None], previous_action[:, None], steps)
        for index in range(tokens.shape[1]):
            x = self._step_token(cache, tokens[:, index : index + 1])
        cache.step += 1
        return self.head(x[:, 0])

    def _step_token(self, cache: RingCache, x: Tensor) -> Tensor:
        window = cache.keys[0].shape[2]
        slot = cache.tokens % window
        ages = (slot - torch.arange(window, device=x.device)) % window
        hidden = ages > cache.tokens
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            query, key, value = layer.project(x)
            cache.keys[index][:, :, slot] = key[:, :, 0]
            cache.values[index][:, :, slot] = value[:, :, 0]
            bias = layer.distance_bias[:, ages].masked_fill(hidden, float("-inf"))
            attended = scaled_dot_product_attention(
                query, cache.keys[index], cache.values[index], attn_mask=bias[None, :, None]
            )
            x = layer.after_self_attention(x, attended, cache.plan[index])
        cache.tokens += 1
        return x
