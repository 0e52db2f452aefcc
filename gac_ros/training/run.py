"""A training run on disk: progress, TensorBoard, atomic saves, exact resume."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from gac_ros.buffer.leases import hold
from gac_ros.checkpoint import (
    DESCRIPTION_FILE,
    EPISODES_FILE,
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    point_latest_to,
    save_checkpoint,
)
from gac_ros.errors import CheckpointError, GacError, OutputError
from gac_ros.training import state as training_state
from gac_ros.training.trainer import StepReport, Trainer


class TrainingDivergedError(GacError):
    """A loss is not finite."""


def run_training(
    trainer: Trainer,
    directory: Path,
    *,
    resume: bool = False,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> Checkpoint:
    """Train to the configured number of iterations, saving into `directory`.

    Every process of the trainer's peers must call it; the first one writes. The bags are held
    while it goes on, and for some days after it was cut off, so that retention leaves them alone.

    Args:
        trainer: fresh; with `resume` its state is replaced by the run's newest.
        directory: the run's folder.
        resume: continue the run that is there.
        on_step: told of every iteration, in every process.

    Returns:
        The final checkpoint, loaded back from the disk.

    Raises:
        OutputError: the folder holds a run and `resume` is off, or cannot be written.
        CheckpointError: nothing to resume, or it does not belong to these data.
        EpisodeError: a bag was removed meanwhile.
        TrainingDivergedError: a figure is not finite; the last save stays.
    """
    if resume:
        _resume(trainer, directory)
    elif any(directory.glob("step-*")):
        raise OutputError(
            f"{directory} holds a training run already; add --resume to continue it, or choose "
            "another --out"
        )
    leads = trainer.peers.rank == 0
    with (
        hold(trainer.bags, directory) if leads else nullcontext(),
        _Log(directory) if leads else nullcontext() as log,
    ):
        while trainer.iteration < trainer.config.iterations:
            report = trainer.step()
            if not math.isfinite(report.log_actions + report.log_return + report.gradient_norm):
                raise TrainingDivergedError(
                    f"the training diverged at iteration {report.iteration}; lower learning_rate "
                    "or langevin_step_size"
                )
            on_step(report)
            last = trainer.iteration == trainer.config.iterations
            logs = report.iteration % trainer.config.log_every == 0
            saves = last or trainer.iteration % trainer.config.save_every == 0
            if logs or saves:
                trainer.gather_chains()
            if logs and log is not None:
                log.write(report, trainer)
            if saves and leads:
                save_run(trainer, directory)
    trainer.peers.wait()
    return load_checkpoint(directory, trainer.device)


def save_run(trainer: Trainer, directory: Path) -> Path:
    """Save model and training state, point `latest` at them, drop the oldest ones."""
    target = directory / f"step-{trainer.iteration:08d}"
    if not target.exists():
        state = training_state.capture(trainer)
        save_checkpoint(
            trainer.checkpoint(),
            target,
            extra_tensors={training_state.STATE_TENSORS: state.tensors},
            extra_json={
                training_state.STATE_JSON: state.values,
                EPISODES_FILE: trainer.episode_list,
            },
        )
    point_latest_to(target)
    for old in sorted(directory.glob("step-*"))[: -trainer.config.keep_checkpoints]:
        shutil.rmtree(old)
    return target


def _resume(trainer: Trainer, directory: Path) -> None:
    try:
        newest = find_checkpoint(directory)
    except CheckpointError as error:
        # Killed between its first save and the link to it.
        saved = sorted(directory.glob(f"step-*/{DESCRIPTION_FILE}"))
        if not saved:
            raise CheckpointError(f"nothing to resume: {error}") from error
        newest = saved[-1].parent
    checkpoint = load_checkpoint(newest, trainer.device)
    training_state.restore(trainer, training_state.read(newest))
    trainer.model.load_state_dict(checkpoint.model.state_dict())


class _Log:
    """TensorBoard event file of a run."""

    def __init__(self, directory: Path) -> None:
        # Imported here: it takes a second that only a training should pay.
        from torch.utils.tensorboard import SummaryWriter

        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(directory / "tensorboard"))
        except OSError as error:
            raise OutputError(
                f"cannot write to {directory} ({error.strerror or error}); choose another --out"
            ) from error

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()

    def write(self, report: StepReport, trainer: Trainer) -> None:
        """One entry of every figure."""
        usage = trainer.plan_usage()
        figures = {
            "likelihood/actions_per_step": report.log_actions,
            "likelihood/return": report.log_return,
            "chains/plan_norm": report.plan_norm,
            "optimiser/gradient_norm": report.gradient_norm,
            "optimiser/learning_rate": report.learning_rate,
            "action_error/own_plan": usage.own,
            "action_error/other_plan": usage.other,
            "action_error/prior_plan": usage.prior,
        }
        for name, value in figures.items():
            self._writer.add_scalar(name, value, report.iteration)
