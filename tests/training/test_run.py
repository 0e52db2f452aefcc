"""Training runs on disk: exact resume, atomic saves, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gac_ros.checkpoint import load_checkpoint
from gac_ros.errors import CheckpointError, OutputError
from gac_ros.training.config import TrainingConfig
from gac_ros.training.run import TrainingDivergedError, run_training
from gac_ros.training.state import STATE_JSON, STATE_TENSORS, known_chains, read
from gac_ros.training.trainer import StepReport, Trainer
from tests.killing import killed_at_the_end
from tests.toy import small_config, toy_buffer, toy_embodiment

SHORT = {"iterations": 12, "save_every": 5, "log_every": 4, "mode_steps": 5}


def trainer(config: TrainingConfig | None = None, **changes: object) -> Trainer:
    return Trainer(
        toy_buffer(), toy_embodiment(), config or small_config(**{**SHORT, **changes}), seed=3
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer]:
    """An uninterrupted run and its trainer; nobody may change them."""
    folder, done = tmp_path_factory.mktemp("whole") / "run", trainer()
    run_training(done, folder)
    return folder, done


class InterruptionError(Exception):
    """Stands for whatever ends a run in the middle of an iteration's bookkeeping."""


def interrupt_at(iteration: int):
    def on_step(report: StepReport) -> None:
        if report.iteration == iteration:
            raise InterruptionError

    return on_step


@pytest.mark.parametrize("iteration", [5, 6, 9, 11])
def test_interrupted_and_resumed_equals_uninterrupted(
    whole: tuple[Path, Trainer], tmp_path: Path, iteration: int
) -> None:
    with pytest.raises(InterruptionError):
        run_training(trainer(), tmp_path, on_step=interrupt_at(iteration + 1))
    run_training(trainer(), tmp_path, resume=True)
    assert load_checkpoint(tmp_path).digest == load_checkpoint(whole[0]).digest
    one, two = (read(folder / "latest") for folder in (whole[0], tmp_path))
    assert one.values == two.values
    for key, value in one.tensors.items():
        assert torch.equal(value, two.tensors[key]), key


def _train(folder: Path) -> None:
    run_training(trainer(), folder, on_step=lambda report: print(report.iteration, flush=True))


def test_a_run_killed_for_real_resumes_exactly(whole: tuple[Path, Trainer], tmp_path: Path) -> None:
    with killed_at_the_end(_train, tmp_path / "killed") as lines:
        assert "7\n" in lines
    resumed = run_training(trainer(), tmp_path / "killed", resume=True)
    assert resumed.digest == load_checkpoint(whole[0]).digest


def test_a_run_killed_before_its_link_was_made_resumes(
    whole: tuple[Path, Trainer], tmp_path: Path
) -> None:
    with pytest.raises(InterruptionError):
        run_training(trainer(), tmp_path, on_step=interrupt_at(6))
    (tmp_path / "latest").unlink()
    resumed = run_training(trainer(), tmp_path, resume=True)
    assert resumed.digest == load_checkpoint(whole[0]).digest


def test_the_last_step_is_saved_and_old_checkpoints_go(whole: tuple[Path, Trainer]) -> None:
    folder, _ = whole
    assert sorted(path.name for path in folder.glob("step-*")) == [
        "step-00000010",
        "step-00000012",
    ]
    assert (folder / "latest").readlink() == Path("step-00000012")
    assert load_checkpoint(folder).lineage.iterations == 12
    assert not list(folder.rglob("*.pt")) + list(folder.rglob("*.pkl"))


def test_figures_are_logged_to_tensorboard(whole: tuple[Path, Trainer]) -> None:
    events = EventAccumulator(str(whole[0] / "tensorboard")).Reload()
    assert "action_error/own_plan" in events.Tags()["scalars"]
    steps = [event.step for event in events.Scalars("likelihood/actions_per_step")]
    assert steps == [4, 8, 12]


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    run_training(trainer(), tmp_path)
    with pytest.raises(OutputError, match="--resume"):
        run_training(trainer(), tmp_path)


def test_resuming_nothing_other_data_or_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run_training(trainer(), tmp_path, resume=True)
    run_training(trainer(), tmp_path)
    with pytest.raises(CheckpointError, match="configuration differs"):
        run_training(trainer(learning_rate=1e-5), tmp_path, resume=True)
    other = Trainer(toy_buffer(seed=1), toy_embodiment(), small_config(**SHORT), seed=3)
    with pytest.raises(CheckpointError, match="data have changed"):
        run_training(other, tmp_path, resume=True)
    (tmp_path / "latest" / STATE_TENSORS).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="damaged"):
        run_training(trainer(), tmp_path, resume=True)


def test_a_run_that_did_not_know_a_setting_yet_resumes_where_it_has_its_default(
    tmp_path: Path,
) -> None:
    run_training(trainer(), tmp_path)
    path = tmp_path / "latest" / STATE_JSON
    state = json.loads(path.read_text(encoding="utf-8"))
    del state["config"]["compile"], state["config"]["planner"]["explore_rest_share"]
    path.write_text(json.dumps(state), encoding="utf-8")
    run_training(trainer(), tmp_path, resume=True)
    state["config"]["no_longer_known"] = 1
    path.write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(CheckpointError, match="configuration differs"):
        run_training(trainer(), tmp_path, resume=True)


def test_a_diverging_run_stops_and_keeps_its_last_save(tmp_path: Path) -> None:
    diverging = trainer(save_every=1)

    def poison(report: StepReport) -> None:
        if report.iteration == 3:
            with torch.no_grad():
                next(diverging.model.parameters()).fill_(float("nan"))

    with pytest.raises(TrainingDivergedError, match="iteration 4"):
        run_training(diverging, tmp_path, on_step=poison)
    assert load_checkpoint(tmp_path).lineage.iterations in (2, 3)


def test_an_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        run_training(trainer(), tmp_path / "file" / "run")


def test_chains_are_known_by_episode_and_a_bare_checkpoint_has_none(
    whole: tuple[Path, Trainer],
) -> None:
    folder, done = whole
    chains = known_chains(folder / "latest")
    assert torch.equal(chains[done.episode_ids[3]], done.chains[3])
    assert known_chains(folder) == {}
