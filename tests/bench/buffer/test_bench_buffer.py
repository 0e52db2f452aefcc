"""The buffer's benchmark measures what it says, on a small scale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.bench.buffer.decoding import measure_decoding
from gac_ros.bench.buffer.loading import WAYS
from gac_ros.bench.buffer.recordings import record_random_episodes
from gac_ros.bench.buffer.starting import FIRST, MINARI, ROSBAGS, SECOND
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment

pytestmark = pytest.mark.usefixtures("signals_as_before")


def test_decoding_is_measured_for_every_common_type() -> None:
    speeds = measure_decoding(count=200, rounds=1)

    assert [speed.type.rsplit("/", 1)[1] for speed in speeds] == [
        "JointState", "Odometry", "Imu", "Float64MultiArray", "Float64", "Twist",
    ]  # fmt: skip
    assert [speed.numbers for speed in speeds] == [21, 85, 37, 7, 1, 6]
    assert all(speed.ratio.count == 1 for speed in speeds)


def test_random_episodes_are_recorded_once(tmp_path: Path) -> None:
    robot = find_embodiment("hopper")
    for _ in range(2):
        record_random_episodes(tmp_path, robot, steps=25, episode_steps=10)

    ours, theirs = (WAYS[way](tmp_path)() for way in ("gac_ros", "rosbags"))
    assert ours["actions"].shape == (25, 3)
    assert ours["observations"].shape == (28, 11)
    for name, numbers in ours.items():
        assert numbers == pytest.approx(theirs[name], abs=1e-12), name


def test_all_ways_to_load_come_to_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("minari")
    pytest.importorskip("h5py")
    file = tmp_path / "figures.json"
    command = ["bench", "buffer", "--steps", "60", "--episode-steps", "20", "--messages", "100"]

    assert main([*command, "--rounds", "1", "--json", str(file), "--folder", str(tmp_path)]) == 0

    content = json.loads(file.read_text())
    assert content["starting"]["steps"] == 60
    names = [start["name"] for start in content["starting"]["starts"]]
    assert names == [FIRST, SECOND, ROSBAGS, MINARI]
    assert content["goals"][-1]["name"] == "second start over 60 steps, seconds"
    assert "Loading 60 steps in 3 episodes" in capsys.readouterr().out
