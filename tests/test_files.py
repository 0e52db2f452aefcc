"""Files that are complete or not there, and locks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from gac_ros.errors import OutputError
from gac_ros.files import locked, write_json, write_text


def test_a_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "")
    with pytest.raises(OutputError, match="cannot be locked"), locked(tmp_path / "file" / "lock"):
        pass


def test_a_number_that_json_does_not_know_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"mean": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"mean": math.nan})
    assert json.loads(path.read_text()) == {"mean": 1.5}


def test_a_lock_is_held_once_and_freed_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as first, locked(path, wait=False) as second:
        assert first
        assert not second
    with locked(path, wait=False) as free:
        assert free
