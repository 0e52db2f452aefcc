"""Settings of re-planning."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

When = Literal["never", "periodic", "surprised"]
WHEN: tuple[When, ...] = get_args(When)


class ReplanningConfig(BaseModel):
    """When plans are made again during an episode, and when a new one is taken.

    "Standard deviations" are those of the data's returns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: When = Field(
        default="never",
        description="Plan again during an episode: never, periodic (at every look), or surprised "
        "(at looks that find the predicted return behind the promise, or unlikely actions).",
    )
    period: int = Field(
        default=50, gt=0, description="Steps from one look at the situation to the next."
    )
    shortfall: float = Field(
        default=0.5,
        ge=0.0,
        description="How far the predicted return of the episode may fall behind what the plan "
        "promised before that is a surprise, in standard deviations.",
    )
    unlikely: float = Field(
        default=2.0,
        ge=0.0,
        description="Surprised when the mean log density of the executed actions is below minus "
        "this, without constants: 0 is the plan's own action, so only others' changes count.",
    )
    margin: float = Field(
        default=0.1,
        ge=0.0,
        description="Hysteresis: how much more than the current plan a new one must promise for "
        "an episode from here, in standard deviations.",
    )
    rest: int = Field(
        default=50, ge=0, description="Hysteresis: steps after a change of plan before the next."
    )
    window: int = Field(
        default=16,
        gt=0,
        description="Latest executed steps whose likelihood the posterior of the plan holds.",
    )
    chains: int = Field(
        default=8, gt=0, description="Posterior samples, of which the best is offered."
    )
    known_share: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Share of the samples that start at one of the data's best plans instead of "
        "the current one; none do when exploring.",
    )
    langevin_steps: int = Field(default=20, gt=0, description="Langevin moves of each sample.")
    langevin_step_size: float = Field(
        default=0.1, gt=0.0, description="Step of a Langevin move, in units of z0."
    )

    @property
    def active(self) -> bool:
        """Whether plans are ever made again."""
        return self.when != "never"
