"""How soon a training can start on a large buffer, beside other ways to load the same data.

Each way loads in a fresh process, and must come to the same numbers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gac_ros.bench.buffer.loading import WAYS
from gac_ros.bench.buffer.recordings import record_random_episodes
from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.buffer.folders import CACHE
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import GacError

WANTED_SECONDS = 2.0
FIRST, SECOND = "gac_ros, first start", "gac_ros, second start"
ROSBAGS, MINARI = "rosbags", "Minari (HDF5)"


class Start(BaseModel):
    """One way to load the data.

    Attributes:
        name: of the way.
        wall: seconds.
        cpu: seconds of processor time.
        memory: bytes by which the process's largest resident memory grew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    wall: float
    cpu: float
    memory: int


class StartReport(BaseModel):
    """What `measure_starts` found.

    Attributes:
        steps: of all episodes.
        episodes: how many.
        bag_bytes: of all bags.
        table_bytes: of the decoded episodes beside them.
        starts: each way once, in the order in which they ran.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    episodes: int
    bag_bytes: int
    table_bytes: int
    starts: list[Start]

    def goals(self) -> list[SpeedGoal]:
        """The second start's time."""
        second = next(start for start in self.starts if start.name == SECOND)
        name = f"second start over {self.steps} steps, seconds"
        return [at_most(name, second.wall, WANTED_SECONDS)]


def measure_starts(
    folder: Path,
    *,
    steps: int,
    episode_steps: int,
    on_part: Callable[[str], None] = lambda _: None,
) -> StartReport:
    """Record random episodes, and load them in every way.

    Args:
        folder: receives the data; what is there of them already is used.
        steps: of all episodes together.
        episode_steps: of each.
        on_part: called with what is done next.

    Raises:
        GacError: a way comes to other numbers, or Minari is not installed.
    """
    bags, minari = folder / f"bags-{steps}-{episode_steps}", folder / "minari"
    on_part("recording episodes")
    record_random_episodes(
        bags, find_embodiment("hopper"), steps=steps, episode_steps=episode_steps
    )
    shutil.rmtree(bags / CACHE, ignore_errors=True)
    starts: dict[str, Start] = {}
    seen: dict[str, tuple[int, str]] = {}

    def load(name: str, way: str, place: Path) -> None:
        on_part(name)
        starts[name], seen[name] = _load(name, way, place)

    load(FIRST, "gac_ros", bags)
    load(SECOND, "gac_ros", bags)
    load(ROSBAGS, "rosbags", bags)
    on_part("writing the same for Minari")
    shutil.rmtree(minari, ignore_errors=True)
    _run("Minari", "minari_data", str(bags), str(minari))
    load(MINARI, "minari", minari)
    if len(set(seen.values())) != 1:
        raise GacError(f"the ways to load come to different numbers: {seen}; this is a defect")
    return StartReport(
        steps=seen[FIRST][0],
        episodes=sum(path.name[0] != "." for path in bags.iterdir()),
        bag_bytes=_bytes(bags) - _bytes(bags / CACHE),
        table_bytes=_bytes(bags / CACHE),
        starts=list(starts.values()),
    )


def _load(name: str, way: str, place: Path) -> tuple[Start, tuple[int, str]]:
    assert way in WAYS
    found = json.loads(_run(name, "loading", way, str(place)))
    start = Start(
        name=name,
        wall=found["wall"],
        cpu=found["cpu"],
        memory=found["memory_peak"] - found["memory_before"],
    )
    return start, (found["steps"], found["numbers"])


def _run(name: str, module: str, *arguments: str) -> str:
    """Run a module of this package in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"{__package__}.{module}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GacError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
