"""`gac buffer import`, `verify` and `repair` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.query import COLUMNS
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment
from tests.buffer import episode_bags
from tests.buffer.importing.step_files import arrays, save

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


@pytest.fixture
def hurt(tmp_path: Path) -> Path:
    """A folder with a sound bag, a damaged one, and a recording that was cut off."""
    trajectory = episode_bags.Trajectory.random(200)
    episode_bags.record(tmp_path, "a", trajectory)
    damaged = episode_bags.record(tmp_path, "b", trajectory) / "b_0.mcap"
    damaged.write_bytes(damaged.read_bytes()[:-20_000])
    draft = episode_bags.metadata(episode_bags.embodiment(), "c", 0)
    writer = EpisodeWriter(tmp_path, "c", episode_bags.TYPES, draft=draft)
    episode_bags.write_messages(writer, list(episode_bags.script(trajectory)))
    writer.close()
    return tmp_path


def test_damage_is_found_repaired_and_gone(hurt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["buffer", "verify", str(hurt)]) == 1
    found = capsys.readouterr().out
    assert "b: " in found
    assert "does not match its SHA-256" in found
    assert "c: the recording was cut off" in found
    assert "2 damaged or unfinished: gac buffer repair" in found

    assert main(["buffer", "repair", str(hurt)]) == 0
    told = capsys.readouterr().out
    assert "b: recovered" in told
    assert "c: recovered 199 steps" in told
    assert str(hurt / ".salvaged" / "c") in told

    assert main(["buffer", "verify", str(hurt)]) == 0
    assert "3 bags with" in capsys.readouterr().out
    assert main(["buffer", "ls", str(hurt)]) == 0
    assert "(2 recovered)" in capsys.readouterr().out
    assert main(["buffer", "repair", str(hurt)]) == 0
    assert "nothing to repair" in capsys.readouterr().out


def test_results_of_a_check_and_a_repair_can_be_read_by_programs(
    hurt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["buffer", "verify", "--json", str(hurt)]) == 1
    states = {each["episode_id"]: each["state"] for each in json.loads(capsys.readouterr().out)}
    assert states == {"a": "complete", "b": "damaged", "c": "unfinished"}

    assert main(["buffer", "repair", "--unfinished", "--json", str(hurt)]) == 0
    (repaired,) = json.loads(capsys.readouterr().out)
    assert (repaired["episode_id"], repaired["state"]) == ("c", "recovered")
    assert repaired["bag"] == str(hurt / "c")


def test_labels_that_a_repair_loses_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = episode_bags.record(tmp_path, "a")
    (bag / "metadata.yaml").write_text("{")

    assert main(["buffer", "repair", str(tmp_path)]) == 0

    told = capsys.readouterr().out.rstrip()
    assert told.endswith(f"are lost; look for them in {tmp_path / '.salvaged/a/metadata.yaml'}")


def test_what_cannot_be_repaired_is_told_by_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".recording" / "x").mkdir(parents=True)
    (tmp_path / ".recording" / "x" / "x_0.mcap").write_bytes(b"nothing of use")

    assert main(["buffer", "repair", str(tmp_path)]) == 1
    assert "x: failed: " in capsys.readouterr().out
    assert main(["buffer", "repair", str(tmp_path / "missing")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_episodes_are_chosen_and_sorted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, episode_return in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        episode_bags.record(
            tmp_path / "my episodes", name, episode_return=episode_return, safe_actions=2
        )
    episode_bags.record(tmp_path / "others", "d", episode_return=9.0)
    folders = [str(tmp_path / "my episodes"), str(tmp_path / "others")]

    chosen = ["--where", "return > 1 and faults > 0", "--sort", "return", "--descending"]
    assert main(["buffer", "ls", *folders, *chosen, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["episode_id"] for row in rows] == ["b", "c"]
    assert all({*COLUMNS, "digest"} <= set(row) for row in rows)
    assert rows[0]["embodiment"] == episode_bags.embodiment().digest
    assert main(["buffer", "ls", *folders]) == 0
    assert "4 episodes, 20 steps" in capsys.readouterr().out
    assert main(["buffer", "ls", *folders, "--where", "reward > 1"]) == 2
    assert "no such column: reward" in capsys.readouterr().err
