"""`gac buffer import` from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment

sys.path.insert(0, str(Path(__file__).parent / "buffer" / "importing"))
from step_files import arrays, save

pytestmark = pytest.mark.usefixtures("signals_as_before")
HOPPER = find_embodiment("hopper")


def test_step_arrays_become_a_buffer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "set.npz", arrays(HOPPER, [2, 3, 4]))
    command = ["buffer", "import", str(file), "--robot", "hopper", "--out", str(tmp_path / "out")]

    assert main([*command, "--limit", "1", "--policy", "sac"]) == 0
    assert main(command) == 0
    printed = capsys.readouterr()

    assert "importing: 1/1" in printed.err
    assert "2 episodes (1 were there already), 7 steps: return mean" in printed.out
    made = EpisodeBuffer.open(tmp_path / "out")
    assert made.lengths.tolist() == [2, 3, 4]
    assert main(["buffer", "ls", str(tmp_path / "out")]) == 0
    assert "3 episodes, 9 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("robot", "changes", "problem"),
    [
        ("r2d2", {}, "unknown robot 'r2d2'"),
        ("walker2d", {}, "holds episodes of Hopper-v5"),
        ("hopper", {"actions": np.zeros((2, 4))}, "'actions' has 4 numbers a step"),
        ("hopper", {"rewards": np.array([0.0, np.nan])}, "'rewards' is not finite in episode 0"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    robot: str,
    changes: dict[str, np.ndarray],
    problem: str,
) -> None:
    file = save(tmp_path / "set.npz", arrays(HOPPER, [2], **changes))

    code = main(["buffer", "import", str(file), "--robot", robot, "--out", str(tmp_path / "out")])

    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gac: error: ")
    assert captured.err.count("\n") == 1
    assert problem in captured.err


def test_an_embodiment_file_of_the_users_own_decides_what_fits(tmp_path: Path) -> None:
    import yaml

    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({**HOPPER.to_dict(), "name": "my_robot"}))
    file = save(tmp_path / "set.npz", arrays(HOPPER, [2]))

    assert (
        main(["buffer", "import", str(file), "--robot", str(own), "--out", str(tmp_path / "out")])
        == 0
    )
