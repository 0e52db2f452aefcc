"""Sizes and noise levels of the model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelConfig(BaseModel):
    """Everything that decides the shape and the likelihoods of a model.

    Attributes:
        observation_size: O.
        action_size: A.
        episode_length: steps of a full episode; scales the time features.
        plan_tokens: tokens of the plan z, N.
        plan_token_size: numbers in a token of z0 and z, D.
        prior: which neural transform maps z0 to z: a residual MLP, LPT's 1-D U-Net, or a
            normalising flow.
        prior_hidden: hidden width (MLP, flow) or base channels (U-Net).
        prior_blocks: residual blocks of the MLP prior; pairs of couplings of the flow.
        width: Transformer width.
        layers: Transformer layers.
        heads: attention heads.
        context: steps that one layer attends to, the current one included, K.
        action_tokens: whether past actions are tokens too (interleaved as in LPT). Off by
            default: with the previous action at hand the generator copies it and ignores z.
        observation_frequencies: octaves of sines and cosines of each observation that the actor
            sees beside the observation itself. A policy that changes from one cell of a maze to
            the next is learned several times faster with them.
        time_frequencies: sine/cosine pairs of the episode's phase t / H, beside the phase itself;
            0: the actor does not know the time. Knowing it, it expects to be where the data were
            by then, and a late robot gets stuck.
        return_heads: members of the return ensemble.
        return_hidden: hidden width of each member.
        return_sees_start: whether the return also depends on the first observation. Without it a
            lucky start looks like a good plan.
        return_sees_time: whether the return also depends on how much of the episode is left, so
            that the critic can be asked, and taught, in mid-episode.
        action_std: sigma of the actions' Gaussian, in normalised action units.
        return_std: sigma of the return's Gaussian, in standardised return units.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    observation_size: int = Field(gt=0)
    action_size: int = Field(gt=0)
    episode_length: int = Field(gt=0)
    plan_tokens: int = Field(default=4, gt=0)
    plan_token_size: int = Field(default=16, gt=0)
    prior: Literal["mlp", "unet", "flow"] = "mlp"
    prior_hidden: int = Field(default=128, gt=0)
    prior_blocks: int = Field(default=2, gt=0)
    width: int = Field(default=64, gt=0)
    layers: int = Field(default=2, gt=0)
    heads: int = Field(default=4, gt=0)
    context: int = Field(default=2, gt=0)
    action_tokens: bool = False
    observation_frequencies: int = Field(default=2, ge=0, le=8)
    time_frequencies: int = Field(default=0, ge=0)
    return_heads: int = Field(default=5, gt=0)
    return_hidden: int = Field(default=128, gt=0)
    return_sees_start: bool = True
    return_sees_time: bool = False
    action_std: float = Field(default=0.4, gt=0.0)
    return_std: float = Field(default=0.2, gt=0.0)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModelConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self

    @property
    def observation_features(self) -> int:
        """Numbers that the actor sees of an observation."""
        return self.observation_size * (1 + 2 * self.observation_frequencies)

    @property
    def state_features(self) -> int:
        """Numbers that a state's token is made from: the observation's and the time's."""
        return self.observation_features + self.time_features

    @property
    def time_features(self) -> int:
        """Numbers that the actor sees of the time."""
        return 1 + 2 * self.time_frequencies if self.time_frequencies else 0

    @property
    def plan_size(self) -> int:
        """Numbers in a plan, N x D."""
        return self.plan_tokens * self.plan_token_size

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one control step adds to the sequence."""
        return 2 if self.action_tokens else 1

    @property
    def burn_in(self) -> int:
        """Steps before a step that can influence its action through all layers.

        Each layer looks back `tokens_per_step * context - 1` tokens. A training window with this
        many leading steps computes exactly what the ring cache computes at run time.
        """
        reach = self.layers * (self.tokens_per_step * self.context - 1)
        return -(-reach // self.tokens_per_step)
