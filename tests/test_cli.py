"""The command line: what it prints, its exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gac_ros import __version__
from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import save_checkpoint
from gac_ros.cli import main
from gac_ros.embodiment import find_embodiment
from tests.ros_support import REPOSITORY, TIMEOUT
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
UMAZE = "pointmaze_umaze"
COMMANDS = [
    ["demo"],
    ["collect"],
    ["train"],
    ["finetune"],
    ["evaluate"],
    ["replay"],
    ["reference"],
    ["buffer", "ls"],
    ["buffer", "info"],
    ["buffer", "import"],
    ["buffer", "repair"],
    ["buffer", "verify"],
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(untrained_checkpoint(UMAZE), tmp_path_factory.mktemp("c") / "umaze")


def in_process(checkpoint: Path, out: Path, *more: str) -> int:
    command = ["evaluate", "--robot", UMAZE, "--checkpoint", str(checkpoint), "--out", str(out)]
    return main([*command, "--transport", "inproc", "--episodes", "2", *more])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gac: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gac_ros {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"gac {' '.join(command)}" in text.split("Usage:")[1]
    assert "Example" in text


@pytest.mark.parametrize("group", [[], ["buffer"]], ids=["gac", "gac buffer"])
def test_a_group_without_a_command_shows_its_help(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(group) == 2
    captured = capsys.readouterr()
    assert "Commands:" in captured.out
    assert captured.err == ""


def test_help_needs_neither_torch_nor_mujoco_nor_ros() -> None:
    code = (
        "import sys\n"
        "from gac_ros.cli import main\n"
        "code = main(['--help'])\n"
        "heavy = {'torch', 'mujoco', 'rclpy', 'gymnasium'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL
    )


def test_a_ctrl_c_while_the_commands_are_loaded_ends_quietly() -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background: ignored
        "class Interrupted:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from gac_ros.cli import main\n"
        "sys.exit(main(['--help']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_evaluate_writes_results_and_prints_the_table(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(checkpoint, tmp_path, "--seed", "4") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert [e["seed"] for e in results["episodes"]] == [12_000_036, 12_000_037]
    assert results["run"]["command_line"].startswith(f"gac evaluate --robot {UMAZE}")
    bags = [tmp_path / e["bag"] for e in results["episodes"]]
    assert [row.path for row in list_episodes(tmp_path / "episodes")] == sorted(bags)
    captured = capsys.readouterr()
    assert "latency p50 / p99" in captured.out
    assert f"ros2 bag info {bags[0]}" in captured.out
    assert "episode 2/2" in captured.err


def test_the_same_command_gives_the_same_results(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert in_process(checkpoint, tmp_path / name, "--no-record") == 0
    first, second = (
        json.loads((tmp_path / name / "results.json").read_text())["episodes"]
        for name in ("first", "second")
    )
    for one, other in zip(first, second, strict=True):
        assert {**one, "latency": None} == {**other, "latency": None}
    assert not (tmp_path / "first" / "episodes").exists()


def test_collected_episodes_are_listed_and_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[bags]"
    command = ["collect", "--robot", UMAZE, "--behaviour", "random", "--episodes", "3"]
    assert main([*command, "--out", str(out)]) == 0
    assert "3 episodes, 900 steps" in capsys.readouterr().out
    assert main(["buffer", "ls", str(out)]) == 0
    text = capsys.readouterr().out
    assert str(out) in "".join(text.split())  # a long path is folded
    assert text.count("truncated") == 3
    assert main(["buffer", "ls", "--json", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["steps"] for row in rows] == [300, 300, 300]
    assert main(["buffer", "info", "--json", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 3
    assert main(["buffer", "info", rows[0]["path"]]) == 0
    assert rows[0]["episode_id"] in capsys.readouterr().out


def test_replay_tells_by_its_exit_code_whether_the_actions_came_out_again(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert in_process(checkpoint, tmp_path) == 0
    episodes = str(tmp_path / "episodes")
    capsys.readouterr()
    assert main(["replay", episodes]) == 0
    assert "2 of 2 episodes reproduced; largest difference 0 " in capsys.readouterr().out
    monkeypatch.setattr("gac_ros.evaluation.replay.TOLERANCE", -1.0)
    assert main(["replay", episodes]) == 1
    assert "0 of 2 episodes reproduced" in capsys.readouterr().out


def test_the_reference_scores_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "--robot", UMAZE, "--episodes", "2"]) == 0
    text = capsys.readouterr().out
    assert "random" in text
    assert "expert" in text


def test_an_unknown_robot_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--robot", "r2d2", "--out", str(tmp_path / "out")]) == 2
    assert "unknown robot 'r2d2'; known are" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_missing_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "nowhere" in error_line(capsys)


def test_a_robot_without_a_packaged_checkpoint_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**find_embodiment(UMAZE).to_dict(), "name": "own_robot"}))
    assert main(["evaluate", "--robot", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "no checkpoint is packaged for 'own_robot'" in error_line(capsys)


def test_a_checkpoint_for_another_robot_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--robot", "hopper", "--checkpoint", str(checkpoint)]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "does not fit 'hopper'" in error_line(capsys)


def test_an_output_folder_that_cannot_be_written_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert in_process(checkpoint, tmp_path / "file" / "out") == 2
    assert "cannot be written" in error_line(capsys)


def test_results_that_exist_are_one_line_unless_overwrite_is_given(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text("{}")
    assert in_process(checkpoint, tmp_path) == 2
    assert "--overwrite" in error_line(capsys)
    assert in_process(checkpoint, tmp_path, "--overwrite", "--no-record") == 0
    assert len(json.loads((tmp_path / "results.json").read_text())["episodes"]) == 2


def test_a_foreign_bag_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    information = {"version": 9, "storage_identifier": "mcap", "relative_file_paths": ["a_0.mcap"]}
    content = {"rosbag2_bagfile_information": {**information, "message_count": 0}}
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(content))
    assert main(["replay", str(tmp_path)]) == 2
    assert "not an episode of gac_ros" in error_line(capsys)


def test_a_bag_in_which_no_checkpoint_acted_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["collect", "--robot", UMAZE, "--behaviour", "waypoint", "--episodes", "1"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["replay", str(tmp_path)]) == 2
    assert "'waypoint' acted here" in error_line(capsys)


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["evaluate", "--robot", UMAZE, "--out", "x", "--transport", "pigeon"],
        ["evaluate", "--robot", UMAZE, "--out", "x", "--episodes", "0"],
        ["fly"],
        ["buffer", "burn"],
        ["demo", "--episode", "3"],
        ["collect", "--robot", UMAZE, "--behaviour", "random", "--out", "x", "--episodes", "some"],
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_one_line_that_names_the_help(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "--help)" in error_line(capsys)


def test_a_real_time_factor_without_ros_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(checkpoint, tmp_path, "--real-time-factor", "1") == 2
    assert "--transport ros" in error_line(capsys)


def test_ros_that_is_not_there_is_one_line(
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gac_ros.evaluation.over_ros.session", None)
    command = ["evaluate", "--robot", UMAZE, "--checkpoint", str(checkpoint)]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "--transport inproc" in error_line(capsys)


def test_a_defect_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("gac_ros.buffer.summary.list_episodes", fail)
    with pytest.raises(ZeroDivisionError):
        main(["buffer", "ls", str(tmp_path)])


def test_an_interrupted_collection_exits_with_130_and_keeps_finished_episodes(
    tmp_path: Path,
) -> None:
    command = ["collect", "--robot", UMAZE, "--behaviour", "random", "--episodes", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "gac_ros.cli", *command, "--out", str(tmp_path)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        # Tests in the background inherit a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not any(path.name[0] != "." for path in tmp_path.iterdir()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "Traceback" not in errors
    # What the interrupt caught half-way is discarded, or, if it came while the bag was being
    # opened, stays unfinished and out of sight; it never becomes an episode.
    states = {row.state for row in list_episodes(tmp_path)}
    assert "complete" in states
    assert "damaged" not in states
