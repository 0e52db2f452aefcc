"""A deployment's file: whole at any time, and changed by one process after the other."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path

import pytest

from gac_ros.deployment.folder import LOCK_FILE, STATE_FILE, DeploymentFolder
from gac_ros.deployment.state import DeploymentConfig, Named, refuse
from gac_ros.errors import CheckpointError, OutputError

ACTING = Named(path="/a", digest="a")


def note(directory: Path, name: str, times: int) -> None:
    folder = DeploymentFolder(directory)
    for number in range(times):
        folder.change(partial(refuse, candidate=Named(path=name, digest=name), why=str(number)))


def test_processes_that_change_it_at_once_lose_nothing(tmp_path: Path) -> None:
    DeploymentFolder(tmp_path).begin(ACTING, DeploymentConfig())
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=note, args=(tmp_path, name, 20)) for name in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    log = DeploymentFolder(tmp_path).read().log
    for name in "xy":
        assert [e.why for e in log if e.checkpoint.path == name] == [str(n) for n in range(20)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [STATE_FILE, LOCK_FILE]


def test_beginning_again_takes_up_what_is_there(tmp_path: Path) -> None:
    folder = DeploymentFolder(tmp_path / "a b")
    folder.begin(ACTING, DeploymentConfig())
    state = folder.begin(Named(path="/b", digest="b"), DeploymentConfig(trial_episodes=7))
    assert state.acting == ACTING
    assert state.config.trial_episodes == 7
    assert len(state.log) == 1


def test_missing_damaged_and_unwritable_folders_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gac improve makes one"):
        DeploymentFolder(tmp_path).read()
    for content, reason in (("{", "Invalid JSON"), ("{}", "config: Field required")):
        (tmp_path / STATE_FILE).write_text(content)
        with pytest.raises(CheckpointError) as caught:
            DeploymentFolder(tmp_path).read()
        assert f"is damaged, or of another version ({reason}" in str(caught.value)
        assert "move it away" in str(caught.value)
    (tmp_path / STATE_FILE).unlink()
    (tmp_path / STATE_FILE).mkdir()
    with pytest.raises(CheckpointError, match=r"cannot be read \(Is a directory\); check"):
        DeploymentFolder(tmp_path).read()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="another"):
        DeploymentFolder(tmp_path / "file" / "x").begin(ACTING, DeploymentConfig())
