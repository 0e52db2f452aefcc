"""Train the package's own models, resumably, and keep the time they took."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gac_ros.bench.learning.methods import Recipe
from gac_ros.bench.learning.tasks import TaskData, best_share
from gac_ros.bench.provenance import code_digest
from gac_ros.bench.stopwatch import Stopwatch, Times
from gac_ros.checkpoint import find_checkpoint, load_checkpoint
from gac_ros.errors import CheckpointError
from gac_ros.evaluation.threads import one_thread
from gac_ros.files import locked, write_text

if TYPE_CHECKING:
    from gac_ros.training.config import TrainingConfig
    from gac_ros.training.trainer import StepReport, Trainer

_TIMES_FILE = "times.json"
# What decides the weights beside settings and data.
_SOURCES = ("model", "training", "normalization.py", "buffer/dataset.py")


def training_folder(
    work: Path, task: str, recipe: Recipe, settings: TrainingConfig, seed: int, data_digest: str
) -> Path:
    """A training's folder; settings, data or code that differ get another one."""
    content = {
        "settings": settings.model_dump(mode="json", exclude={"planner"}),
        "data": data_digest,
        "best_share": recipe.best_share,
        "code": code_digest(*_SOURCES),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return work / "models" / task / recipe.name / f"seed-{seed}-{digest[:12]}"


def train_model(
    work: Path,
    task: str,
    data: TaskData,
    recipe: Recipe,
    settings: TrainingConfig,
    seed: int,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> tuple[Path, Times]:
    """Train a model, or take the one that is there; a run that was interrupted goes on.

    Returns:
        Its checkpoint directory and the time of the training.

    Raises:
        OutputError: `work` cannot be written.
        TrainingDivergedError: a figure is not finite.
    """
    folder = training_folder(work, task, recipe, settings, seed, data.buffer.digest)
    with locked(folder.with_name(f".{folder.name}.lock")):
        finished = _finished(folder, settings)
        if finished is None:
            _train(folder, data, recipe, settings, seed, on_step)
            finished = find_checkpoint(folder)
    return finished, _read_times(folder)


def _finished(folder: Path, settings: TrainingConfig) -> Path | None:
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError:
        return None
    return checkpoint.path if checkpoint.lineage.iterations == settings.iterations else None


def _train(
    folder: Path,
    data: TaskData,
    recipe: Recipe,
    settings: TrainingConfig,
    seed: int,
    on_step: Callable[[StepReport], None],
) -> None:
    from gac_ros.training.run import run_training
    from gac_ros.training.trainer import Trainer

    buffer = data.buffer
    if recipe.best_share < 1.0:
        buffer = best_share(buffer, recipe.best_share)

    def make_trainer() -> Trainer:
        return Trainer(buffer, data.embodiment, settings, seed=seed)

    with one_thread():
        before = _read_times(folder) if _saved(folder) else Times()
        watch = Stopwatch()

        def tell(report: StepReport) -> None:
            # When the run is saved, so that a resumed one counts the time of what it kept.
            if report.iteration % settings.save_every == 0:
                write_text(folder / _TIMES_FILE, (before + watch.read()).model_dump_json())
            on_step(report)

        trainer = make_trainer()
        try:
            run_training(trainer, folder, resume=_saved(folder), on_step=tell)
        except CheckpointError:
            # What was interrupted belongs to other settings of the planner, or was damaged.
            shutil.rmtree(folder)
            before, watch = Times(), Stopwatch()
            run_training(make_trainer(), folder, on_step=tell)
        write_text(folder / _TIMES_FILE, (before + watch.read()).model_dump_json())


def _saved(folder: Path) -> bool:
    return any(folder.glob("step-*"))


def _read_times(folder: Path) -> Times:
    path = folder / _TIMES_FILE
    if not path.exists():
        return Times()
    return Times.model_validate_json(path.read_text(encoding="utf-8"))
