"""The tree of checkpoints: what it shows, and how it names what is broken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gac_ros.checkpoint import EPISODES_FILE, WEIGHTS_FILE, load_checkpoint
from gac_ros.cli.app import main
from gac_ros.lineage import Node, Score, add_score, compare_data, read_forest, read_scores
from gac_ros.resources import packaged_checkpoint
from gac_ros.training.run import run_training
from gac_ros.training.trainer import Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment

pytestmark = pytest.mark.usefixtures("signals_as_before")
CONFIG = small_config(iterations=2, save_every=2, log_every=2)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first model, its child, and a grandchild."""
    folder = tmp_path_factory.mktemp("family")
    parent = None
    for number, name in enumerate(("first", "child", "grandchild")):
        buffer = toy_buffer(20 + number)
        config = CONFIG.model_copy(update={"time_shift": 0.5 * (number > 0)})
        trainer = Trainer(buffer, toy_embodiment(), config, seed=number, parent=parent)
        parent = run_training(trainer, folder / name)
    return folder


@pytest.fixture
def copy(family: Path, tmp_path: Path) -> Path:
    return shutil.copytree(family, tmp_path / "family", symlinks=True)


def by_name(folder: Path) -> dict[str, Node]:
    return {
        node.paths[0].parent.name: node
        for node in read_forest([folder]).nodes()
        if not node.missing
    }


def test_children_hang_under_their_parents_and_name_their_episodes(family: Path) -> None:
    forest = read_forest([family])
    (first,) = forest.roots
    (child,) = first.children
    (grandchild,) = child.children
    assert (first.digest, child.digest) == (
        load_checkpoint(family / "first").digest,
        load_checkpoint(family / "child").digest,
    )
    assert not forest.broken
    assert grandchild.episodes is not None
    assert [entry.id for entry in grandchild.episodes] == list(toy_buffer(22).ids)
    assert child.lineage is not None
    assert child.lineage.config == {**CONFIG.model_dump(mode="json"), "time_shift": 0.5}


def test_a_missing_parent_is_named_and_keeps_its_children_together(copy: Path) -> None:
    lost = load_checkpoint(copy / "child").digest
    shutil.rmtree(copy / "child")
    forest = read_forest([copy])
    missing = [node for node in forest.roots if node.missing]
    assert [node.digest for node in missing] == [lost]
    assert len(missing[0].children) == 1
    assert any(lost[:12] in line and "grandchild" in line for line in forest.broken)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, EPISODES_FILE])
def test_changed_files_are_named(copy: Path, name: str) -> None:
    path = copy / "child" / "latest" / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (problem,) = read_forest([copy]).broken
    assert name in problem
    assert "child" in problem


def test_a_damaged_description_is_named_and_the_others_are_shown(copy: Path) -> None:
    (copy / "child" / "latest" / "checkpoint.json").write_text("{")
    forest = read_forest([copy])
    assert any("checkpoint.json: the checkpoint is damaged" in line for line in forest.broken)
    assert len(list(forest.nodes())) == 3  # the lost one is known by its child


def test_episodes_that_are_gone_or_changed_are_counted(family: Path) -> None:
    node = by_name(family)["first"]
    buffer = toy_buffer(20)
    present = {n: e.content_digest() for n, e in zip(buffer.ids, buffer, strict=True)}
    assert compare_data(node, present) == []
    other = replace(buffer[3], actions=buffer[3].actions + 1.0)
    present[buffer.ids[3]] = other.content_digest()
    del present[buffer.ids[5]]
    missing, changed = compare_data(node, present)
    assert "1 of its 20 episodes are missing: toy-0005" in missing
    assert "1 of its 20 episodes are changed: toy-0003" in changed


def test_a_copy_is_the_same_checkpoint(copy: Path) -> None:
    shutil.copytree(copy / "first" / "latest", copy / "copied")
    (root,) = read_forest([copy]).roots
    assert len(root.paths) == 2


def test_scores_are_noted_once_and_travel_with_the_checkpoint(copy: Path) -> None:
    path = copy / "child" / "latest"
    digest = load_checkpoint(path).digest
    score = Score(purpose="gate", episodes=3, return_mean=1.5, against="abc", difference=0.5)
    assert add_score(path, score)
    assert add_score(path, score)
    assert read_scores(path) == [score]
    assert load_checkpoint(path).digest == digest
    assert by_name(copy)["child"].scores == [score]


def test_the_package_s_own_checkpoints_keep_the_scores_of_their_release(copy: Path) -> None:
    packaged = packaged_checkpoint("hopper")
    before = read_scores(packaged)
    score = Score(purpose="report", episodes=3, return_mean=1.5)
    assert not add_score(packaged, score)
    (copy / "link").symlink_to(packaged)
    assert not add_score(copy / "link", score)
    assert read_scores(packaged) == before != []
    shutil.copytree(packaged, copy / "copied")
    assert add_score(copy / "copied", score)


def test_a_checkpoint_of_before_the_list_is_shown(copy: Path) -> None:
    path = copy / "first" / "latest"
    content = json.loads((path / "checkpoint.json").read_text())
    del content["lineage"]["config"], content["lineage"]["episodes_sha256"]
    (path / "checkpoint.json").write_text(json.dumps(content))
    (path / EPISODES_FILE).unlink()
    node = by_name(copy)["first"]
    assert node.problems == []
    assert "does not name" in compare_data(node, {})[0]


def test_the_command_prints_the_tree_and_answers_with_its_exit_code(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_score(
        copy / "child" / "latest",
        Score(purpose="report", episodes=50, return_mean=12.0, return_ci95=(10.0, 14.0)),
    )
    assert main(["lineage", str(copy)]) == 0
    output = capsys.readouterr().out
    assert "└── " in output
    assert "report: 12.0 ± 2.0 over 50 episodes" in output
    assert "settings: time_shift 0.5 (else the parent's)" in output
    assert "21 episodes" in output
    assert "1 new, 0 no longer" in output
    shutil.rmtree(copy / "first")
    assert main(["lineage", str(copy)]) == 1
    captured = capsys.readouterr()
    assert "MISSING" in captured.out
    assert "its parent" in captured.err
    assert main(["lineage", str(copy / "none")]) == 2
