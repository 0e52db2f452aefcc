"""Checkpoints: round trip, and every way in which one can be bad."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gac_ros.checkpoint import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    find_checkpoint,
    load_checkpoint,
    point_latest_to,
    resolve_device,
    save_checkpoint,
)
from gac_ros.errors import CheckpointError, ConfigurationError, EmbodimentError, OutputError
from tests.toy import toy_embodiment, untrained_checkpoint


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(untrained_checkpoint("hopper"), tmp_path / "a name with spaces")


def test_a_checkpoint_comes_back_as_it_was_saved(saved: Path) -> None:
    before, after = untrained_checkpoint("hopper"), load_checkpoint(saved)
    for key, value in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[key], value), key
    torch.manual_seed(1)
    assert after.best_plans.shape == before.best_plans.shape
    assert after.embodiment == before.embodiment
    assert after.planner == before.planner
    assert after.lineage == before.lineage
    for key, value in before.normalizer.to_dict().items():
        assert after.normalizer.to_dict()[key] == value
    assert len(after.digest) == 64
    assert after.path == saved


def test_a_file_that_does_not_know_the_known_promise_plans_as_it_did(saved: Path) -> None:
    content = json.loads((saved / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    assert load_checkpoint(saved).planner.exploit_promise == "known"
    del content["planner"]["exploit_promise"]
    (saved / DESCRIPTION_FILE).write_text(json.dumps(content), encoding="utf-8")
    assert load_checkpoint(saved).planner.exploit_promise is None


def test_the_digest_tells_two_models_apart(tmp_path: Path) -> None:
    one = save_checkpoint(untrained_checkpoint("hopper", seed=0), tmp_path / "one")
    two = save_checkpoint(untrained_checkpoint("hopper", seed=1), tmp_path / "two")
    again = save_checkpoint(untrained_checkpoint("hopper", seed=0), tmp_path / "again")
    assert load_checkpoint(one).digest != load_checkpoint(two).digest
    assert load_checkpoint(one).digest == load_checkpoint(again).digest


def test_a_run_folder_stands_for_its_newest_checkpoint(tmp_path: Path) -> None:
    for seed in (0, 1):
        step = save_checkpoint(untrained_checkpoint("hopper", seed=seed), tmp_path / f"step-{seed}")
        point_latest_to(step)
    assert find_checkpoint(tmp_path) == tmp_path / "step-1"
    assert load_checkpoint(tmp_path).lineage.seed == 1


def test_saving_refuses_to_overwrite(saved: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        save_checkpoint(untrained_checkpoint("hopper"), saved)


def test_saving_below_a_file_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the checkpoint"):
        save_checkpoint(untrained_checkpoint("hopper"), tmp_path / "file" / "checkpoint")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("name", [WEIGHTS_FILE, DESCRIPTION_FILE])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(saved: Path, name: str, share: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(saved)


def test_any_flipped_bit_in_the_weights_is_found(saved: Path) -> None:
    content = bytearray((saved / WEIGHTS_FILE).read_bytes())
    for position in np.random.default_rng(0).integers(len(content), size=20):
        flipped = content.copy()
        flipped[position] ^= 1 << (int(position) % 8)
        (saved / WEIGHTS_FILE).write_bytes(flipped)
        with pytest.raises(CheckpointError, match="checksum"):
            load_checkpoint(saved)


def test_a_missing_file_is_named(saved: Path) -> None:
    (saved / WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match=WEIGHTS_FILE):
        load_checkpoint(saved)


def test_a_pickled_checkpoint_is_refused_without_being_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "model.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="pickled checkpoints are refused"):
        load_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_in_place_of_the_weights_is_refused(saved: Path) -> None:
    weights = pickle.dumps({"a": 1})
    (saved / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(saved)


def test_an_unknown_format_and_a_foreign_folder_are_refused(saved: Path, tmp_path: Path) -> None:
    content = json.loads((saved / DESCRIPTION_FILE).read_text())
    content["format"] = "gac_ros-checkpoint-99"
    (saved / DESCRIPTION_FILE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="another version"):
        load_checkpoint(saved)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


def test_another_robot_is_refused_by_what_differs(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    checkpoint.require_embodiment(checkpoint.embodiment)
    with pytest.raises(EmbodimentError, match="foot_left_joint"):
        checkpoint.require_embodiment(untrained_checkpoint("walker2d").embodiment)
    with pytest.raises(EmbodimentError, match="'hopper' against 'toy'"):
        checkpoint.require_embodiment(toy_embodiment())


def test_devices_are_resolved_or_refused_with_the_remedy() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ConfigurationError, match="use auto, cpu"):
        resolve_device("tpu")
    with pytest.raises(ConfigurationError, match="use auto or cpu"):
        resolve_device("cuda:99")
