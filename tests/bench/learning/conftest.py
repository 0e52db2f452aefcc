"""A benchmark small enough to run in a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gac_ros.bench.learning.harness import BenchmarkRequest
from gac_ros.bench.learning.library import Library
from gac_ros.bench.learning.methods import find_method
from gac_ros.bench.learning.tasks import Task, find_task
from gac_ros.training.config import TrainingConfig

SMALL = TrainingConfig(
    iterations=3,
    batch_episodes=3,
    windows=2,
    window_length=4,
    save_every=2,
    model={
        "width": 16,
        "heads": 2,
        "layers": 1,
        "plan_token_size": 4,
        "prior_hidden": 16,
        "return_hidden": 16,
    },
)
# Few episodes of the real robot; the same name, so that the report knows it.
SMALL_TASK = replace(find_task("pointmaze_umaze"), episodes=4)

MakeRequest = Callable[..., BenchmarkRequest]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the data are collected once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def make_request(tmp_path: Path, work: Path) -> MakeRequest:
    def make(*methods: str, task: Task = SMALL_TASK, **changes: object) -> BenchmarkRequest:
        request = BenchmarkRequest(
            tasks=[task],
            methods=[find_method(name) for name in methods],
            seeds=[0],
            results=tmp_path / "results" / "learning",
            work=work,
            data_folder=tmp_path / "data",
            library=Library(tmp_path / "no worker here"),
            episodes=2,
            base=SMALL,
        )
        return replace(request, **changes)

    return make
