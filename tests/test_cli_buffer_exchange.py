"""`gac buffer export`, and `import` of what it wrote, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.cli import main
from tests.buffer import episode_bags

pytestmark = pytest.mark.usefixtures("signals_as_before")


@pytest.fixture
def arm(tmp_path: Path) -> str:
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(episode_bags.embodiment().to_dict()))
    return str(path)


@pytest.mark.parametrize("format_", ["minari", "lerobot"])
def test_episodes_go_out_and_come_in_again(
    tmp_path: Path,
    arm: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    for number in range(3):
        episode_bags.record(tmp_path / "bags", f"{number}", episode_return=float(number))
    monkeypatch.chdir(tmp_path)
    out = "sets/a set"
    export = ["buffer", "export", "bags", "--format", format_, "--out", out]

    assert main([*export, "--where", "return > 0"]) == 0
    told = capsys.readouterr().out
    assert f"2 episodes, 10 steps: {out}" in told
    assert "not kept: messages become arrays" in told
    assert main(["buffer", "import", out, "--robot", arm, "--out", "in"]) == 0
    assert "2 episodes, 10 steps: return mean 1.5, best 2.0" in capsys.readouterr().out
    assert EpisodeBuffer.open(tmp_path / "in").ids == ("1", "2")

    assert main(export) == 2
    assert "is there already" in capsys.readouterr().err
    odd = ["buffer", "import", out, "--robot", arm, "--out", "odd", "--cut-gap", "1"]
    assert main(odd) == 2
    assert "--cut-gap has no meaning with a data set" in capsys.readouterr().err


def test_a_damaged_bag_is_told_by_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    episode_bags.record(tmp_path / "bags", "a")
    (episode_bags.record(tmp_path / "bags", "b") / "b_0.mcap").write_bytes(b"")
    export = ["buffer", "export", str(tmp_path / "bags"), "--format", "minari"]

    assert main([*export, "--out", str(tmp_path / "set")]) == 1
    assert "left out: " in capsys.readouterr().out
    assert main([*export, "--out", str(tmp_path / "x"), "--where", "steps > 99"]) == 2
    assert "no episode to export" in capsys.readouterr().err
    assert main([*export, "--out", str(tmp_path / "x"), "--dataset-id", "no id"]) == 2
    assert "'no id' is no Minari id" in capsys.readouterr().err
