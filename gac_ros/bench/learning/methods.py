"""The methods: what each one is trained with and how it acts.

Changes are against the package's defaults (or the settings a caller gives in their place), so
that better defaults reach every run without a change here. What makes a method another one than
GAC is written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.planning import Mode, PlannerConfig
from gac_ros.training.config import TrainingConfig, training_config

BEST_SHARE = 0.1
_EXPLOITING_PLANS = ("candidates", "consensus_", "exploit_", "shell_", "start", "trust_")
# Beginnings of the planner's settings that a mode never reads: they cannot make a run stale.
_UNREAD: Mapping[Mode, tuple[str, ...]] = {
    "exploit": ("explore_", "langevin_", "posterior_"),
    "explore": (*_EXPLOITING_PLANS, "posterior_"),
    "posterior": (*_EXPLOITING_PLANS, "explore_"),
}
# Settings of the training that serve exploitation only, the last two by their earlier names.
_EXPLOITING = ("best_plans", "mode_steps", "explained_episodes", "supported_plans")
Rewards = Literal["steps", "end"]


@dataclass(frozen=True)
class Recipe:
    """How a model of this package is trained; methods that share one share the training.

    Attributes:
        name: of the recipe.
        changes: to the training settings.
        model: changes to the model's settings.
        best_share: share of the episodes, best ones first, that it learns from.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    best_share: float = 1.0

    def settings(self, base: TrainingConfig) -> TrainingConfig:
        """The recipe applied to settings."""
        content = {**base.model_dump(), **self.changes}
        content["model"] = {**base.model, **self.model}
        return training_config(content, origin=self.name)


@dataclass(frozen=True)
class ModelMethod:
    """A model of this package, and a way of planning with it.

    Attributes:
        name: in options, folders and tables.
        title: in the report.
        recipe: its training.
        mode: how it plans.
        planner: changes to the planner's settings.
    """

    name: str
    title: str
    recipe: Recipe
    mode: Mode = "exploit"
    planner: Mapping[str, Any] = field(default_factory=dict)

    def config(self, base: TrainingConfig, embodiment: Embodiment) -> dict[str, Any]:
        """Everything that decides what is learned and how it acts, as JSON."""
        settings = self.recipe.settings(base)
        content = settings.model_dump(mode="json")
        content["model"] = settings.model_for(embodiment).model_dump(mode="json")
        planner = PlannerConfig.model_validate({**content.pop("planner"), **self.planner})
        read = {
            name: value
            for name, value in planner.model_dump(mode="json").items()
            if not name.startswith(_UNREAD[self.mode])
        }
        return {
            "training": self.read_settings(content),
            "best_share": self.recipe.best_share,
            "mode": self.mode,
            # Behaviour cloning has nothing to plan.
            "planner": {} if settings.method == "behaviour_cloning" else read,
        }

    def read_settings(self, training: dict[str, Any]) -> dict[str, Any]:
        """Those training settings that this method reads: others cannot make a run stale."""
        unread: set[str] = set()
        if self.mode == "posterior" or training["method"] == "behaviour_cloning":
            unread.update(_EXPLOITING)
        if not training["return_weighting"]:
            unread.add("return_power")
        return {name: value for name, value in training.items() if name not in unread}


@dataclass(frozen=True)
class LibraryMethod:
    """An algorithm of d3rlpy, which lives in an environment of its own.

    Attributes:
        name: in options, folders and tables.
        title: in the report.
        algorithm: as the worker knows it.
        rewards: each step's, or the whole return with the last action, as GAC sees it.
    """

    name: str
    title: str
    algorithm: str
    rewards: Rewards

    def config(self, base: TrainingConfig, embodiment: Embodiment) -> dict[str, Any]:
        """Which algorithm and what it sees; its own settings are with the training's record."""
        return {"algorithm": self.algorithm, "rewards": self.rewards}


@dataclass(frozen=True)
class DataMethod:
    """The episodes themselves, as they were recorded."""

    name: str
    title: str

    def config(self, base: TrainingConfig, embodiment: Embodiment) -> dict[str, Any]:
        """Nothing to choose."""
        return {}


Method = ModelMethod | LibraryMethod | DataMethod

_GAC = Recipe("gac")
# Without what GAC adds to the training: the baselines' episodes are drawn uniformly.
_PLAIN = {"return_weighting": 0.0, "time_shift": 0.0}
_CLONING = Recipe("behaviour_cloning", {"method": "behaviour_cloning", **_PLAIN})
_CLONING_BEST = Recipe(
    "behaviour_cloning_best_10",
    {"method": "behaviour_cloning", **_PLAIN},
    best_share=BEST_SHARE,
)
# As published: three Langevin moves an iteration, a return that depends on the plan alone.
_LPT = Recipe(
    "lpt",
    {"langevin_steps": 3, "langevin_temperature": 1.0, **_PLAIN},
    model={"return_sees_start": False},
)

# In the order in which they are run: those of d3rlpy are given the computing time that GAC took.
METHODS: tuple[Method, ...] = (
    DataMethod("data_mean", "data mean"),
    ModelMethod("gac", "GAC (exploit)", _GAC),
    ModelMethod("gac_explore", "GAC (explore)", _GAC, "explore"),
    ModelMethod("lpt_w1", "LPT, w = 1", _LPT, "posterior", {"posterior_weight": 1.0}),
    ModelMethod("lpt_w4", "LPT, w = 4", _LPT, "posterior", {"posterior_weight": 4.0}),
    ModelMethod("behaviour_cloning", "behaviour cloning", _CLONING),
    ModelMethod("behaviour_cloning_best_10", "behaviour cloning, best 10 %", _CLONING_BEST),
    LibraryMethod("decision_transformer", "Decision Transformer", "decision_transformer", "steps"),
    LibraryMethod(
        "decision_transformer_end", "Decision Transformer, end", "decision_transformer", "end"
    ),
    LibraryMethod("td3_bc_steps", "TD3+BC, step rewards", "td3_bc", "steps"),
    LibraryMethod("td3_bc_end", "TD3+BC, end", "td3_bc", "end"),
    LibraryMethod("iql_steps", "IQL, step rewards", "iql", "steps"),
    LibraryMethod("iql_end", "IQL, end", "iql", "end"),
    LibraryMethod("cql_steps", "CQL, step rewards", "cql", "steps"),
    LibraryMethod("cql_end", "CQL, end", "cql", "end"),
)


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        ConfigurationError: there is none.
    """
    for method in METHODS:
        if method.name == name:
            return method
    raise ConfigurationError(
        f"unknown method '{name}'; choose among {', '.join(method.name for method in METHODS)}"
    )
