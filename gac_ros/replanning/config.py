"""Settings of re-planning."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

When = Literal["never", "periodic", "surprised"]
WHEN: tuple[When, ...] = ("never", "periodic", "surprised")


class ReplanningConfig(BaseModel):
    """When plans are made again during an episode, and when a new one is taken.

    Attributes:
        when: `never`: one plan an episode, as in the paper. `periodic`: at every look.
            `surprised`: at looks that find the predicted return of the episode fallen behind
            what the plan promised, or the executed actions unlikely under the plan.
        period: steps from one look at the situation to the next.
        shortfall: how far the predicted return may fall behind the promise, in standard deviations
            of the data's returns.
        unlikely: how low the mean log density of an executed action may be, constants left out;
            0 is the plan's own action. It falls only when others change the actions (limits, the
            safe action): the plan's own say nothing about the plan.
        margin: hysteresis: how much more than the current plan a new one must promise from here
            on, in standard deviations of the return of a whole episode.
        rest: hysteresis: steps after a change of plan before the next one.
        window: latest executed steps whose likelihood the posterior holds.
        chains: posterior samples of which the best is offered.
        known_share: when exploiting, the share of chains that start at one of the data's best plans
            instead of the current one.
        langevin_steps: moves of each chain.
        langevin_step_size: of a move (convention of `langevin_move`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: When = "never"
    period: int = Field(default=50, gt=0)
    shortfall: float = Field(default=0.5, ge=0.0)
    unlikely: float = Field(default=2.0, ge=0.0)
    margin: float = Field(default=0.1, ge=0.0)
    rest: int = Field(default=50, ge=0)
    window: int = Field(default=16, gt=0)
    chains: int = Field(default=8, gt=0)
    known_share: float = Field(default=0.5, ge=0.0, le=1.0)
    langevin_steps: int = Field(default=20, gt=0)
    langevin_step_size: float = Field(default=0.1, gt=0.0)

    @property
    def active(self) -> bool:
        """Whether plans are ever made again."""
        return self.when != "never"
