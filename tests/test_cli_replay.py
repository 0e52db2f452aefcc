"""`gac replay` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.checkpoint import save_checkpoint
from gac_ros.cli import main
from gac_ros.evaluation.collect import CollectionRequest, collect
from tests.buffer import episode_bags
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")


def test_the_comparison_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = save_checkpoint(untrained_checkpoint("hopper"), tmp_path / "checkpoint")
    request = CollectionRequest("hopper", "checkpoint", 2, tmp_path / "bags", checkpoint=checkpoint)
    names = [result.bag.name for result in collect(request) if result.bag is not None]

    assert main(["replay", str(tmp_path / "bags"), "--plot", str(tmp_path / "pictures")]) == 0

    assert "2 of 2 episodes reproduced; largest difference 0 " in capsys.readouterr().out
    for name in names:
        picture = tmp_path / "pictures" / f"{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["replay", str(tmp_path / "bags"), "--plot", "/proc/none"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--publish", "--to-robot"], "give one of them"),
        (["--qos", "x.yaml"], "--qos has a meaning only with --publish"),
        (["--publish", "--yes"], "--yes has a meaning only with --to-robot"),
        (["--to-robot", "--plot", "x"], "--plot has a meaning only without"),
        (["--to-robot", "--robot", "hopper"], "takes"),
        (["--to-robot"], "nobody is here to confirm; give --yes"),
        (["--publish", "--qos", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    problem: str,
) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    bag = episode_bags.record(tmp_path)
    assert main(["replay", str(bag), *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith("gac: error: ")
    assert told.count("\n") == 1
    assert problem in told


def test_a_robot_gets_one_episode_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        episode_bags.record(tmp_path, name)
    assert main(["replay", str(tmp_path), "--to-robot", "--yes"]) == 2
    assert "sends one episode, not 2" in capsys.readouterr().err
