"""`gac train` and `gac finetune`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.display import make_console, progress_bar

if TYPE_CHECKING:
    import torch

    from gac_ros.buffer.dataset import EpisodeBuffer
    from gac_ros.checkpoint import Checkpoint
    from gac_ros.embodiment import Embodiment
    from gac_ros.training.config import TrainingConfig
    from gac_ros.training.peers import Peers
    from gac_ros.training.trainer import StepReport, Trainer


class MethodName(str, Enum):
    """What is learned."""

    GAC = "gac"
    BEHAVIOUR_CLONING = "behaviour_cloning"


Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Folder of episode bags, or an address such as s3://bucket/episodes (needs fsspec "
        "and s3fs); may be given several times.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the training run: checkpoints, 'latest' link, TensorBoard log."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Training settings (*.yaml), see config/train. Default: the built-in ones."
    ),
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Replaces the settings' iterations.")
]
TrainingSeed = Annotated[
    int, typer.Option("--seed", min=0, help="Of weights, chains, batches and noise.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue the run in --out exactly where its newest checkpoint stands."
    ),
]
TrainingDevice = Annotated[
    str, typer.Option("--device", help="Where to train: auto, cpu, cuda or cuda:N.")
]
Threads = Annotated[
    int,
    typer.Option(
        "--threads",
        min=1,
        help="CPU threads. The model is small: more than one or two slow it down.",
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        help="Processes that share each batch, and so many CUDA devices with --device cuda. The "
        "result is that of one process, but for rounding. Needs the extra 'distributed'.",
    ),
]

Method = Annotated[
    MethodName | None,
    typer.Option(
        "--method",
        help="gac: the whole model. behaviour_cloning: the same network without a plan, the "
        "baseline. Replaces the settings' method.",
    ),
]
RobotOfEpisodes = Annotated[
    str | None,
    typer.Option(
        "--robot",
        help="Robot or embodiment file that every episode must have been recorded with. "
        "Needed only where a scoring function of the embodiment gives the returns: a bag "
        "may not choose what code runs.",
    ),
]
Parent = Annotated[
    Path,
    typer.Option("--from", help="Checkpoint folder or training run to continue."),
]


def train(
    data: Data,
    out: Out,
    config: ConfigFile = None,
    method: Method = None,
    robot: RobotOfEpisodes = None,
    iterations: Iterations = None,
    seed: TrainingSeed = 0,
    resume: Resume = False,
    device: TrainingDevice = "cpu",
    threads: Threads = 1,
    processes: Processes = 1,
) -> None:
    """Learn a checkpoint from recorded episodes.

    Every episode needs a return. The run is saved as it goes and can be interrupted: --resume
    continues it with the very numbers that an uninterrupted run would have had.

    Example: `gac train --data episodes/umaze --out runs/umaze`
    """
    from gac_ros.embodiment import find_embodiment

    changes = {"iterations": iterations, "method": None if method is None else method.value}
    settings = _settings(config, changes)
    embodiment = None if robot is None else find_embodiment(robot)
    with _processes(processes, device, threads) as (peers, target):
        trainer = _make_trainer(data, settings, seed, target, peers, embodiment=embodiment)
        _run(trainer, out, resume)


def finetune(
    parent: Parent,
    data: Data,
    out: Out,
    config: ConfigFile = None,
    iterations: Iterations = None,
    seed: TrainingSeed = 0,
    resume: Resume = False,
    device: TrainingDevice = "cpu",
    threads: Threads = 1,
    processes: Processes = 1,
) -> None:
    """Continue a model with more episodes.

    Keeps the model's weights and normalisation. Episodes that the training run of --from knew go
    on with their own chains; give the old data as well (--data twice) so that nothing is forgotten.

    Example: `gac finetune --from runs/umaze --data episodes/umaze --data episodes/explored
    --out runs/umaze-2`
    """
    from gac_ros.checkpoint import find_checkpoint, load_checkpoint
    from gac_ros.resources import config_directory

    settings = _settings(
        config or config_directory() / "train" / "finetune.yaml", {"iterations": iterations}
    )
    with _processes(processes, device, threads) as (peers, target):
        checkpoint = load_checkpoint(find_checkpoint(parent), target)
        trainer = _make_trainer(
            data,
            settings,
            seed,
            target,
            peers,
            embodiment=checkpoint.embodiment,
            parent=checkpoint,
        )
        _run(trainer, out, resume)


@contextmanager
def _processes(count: int, device: str, threads: int) -> Iterator[tuple[Peers, torch.device]]:
    """This process's place among those that train, and its device."""
    import torch

    from gac_ros.checkpoint import resolve_device
    from gac_ros.training.distributed import training_processes

    torch.set_num_threads(threads)
    with training_processes(count, resolve_device(device)) as place:
        yield place


def _settings(path: Path | None, changes: dict[str, Any]) -> TrainingConfig:
    from gac_ros.training.config import TrainingConfig, load_training_config, training_config

    settings = TrainingConfig() if path is None else load_training_config(path)
    given = {key: value for key, value in changes.items() if value is not None}
    return training_config({**settings.model_dump(), **given}, origin="settings")


def _make_trainer(
    data: list[str],
    settings: TrainingConfig,
    seed: int,
    device: torch.device,
    peers: Peers,
    *,
    embodiment: Embodiment | None = None,
    parent: Checkpoint | None = None,
) -> Trainer:
    from gac_ros.buffer.dataset import EpisodeBuffer
    from gac_ros.training.state import known_chains
    from gac_ros.training.trainer import Trainer

    leads = peers.rank == 0
    with make_console().status("reading episodes") if leads else nullcontext():
        buffer = EpisodeBuffer.open(data, embodiment=embodiment)
    if leads:
        _describe_data(buffer)
    chains = known_chains(parent.path) if parent and parent.path else None
    return Trainer(
        buffer,
        embodiment or _recorded_embodiment(buffer),
        settings,
        seed=seed,
        device=device,
        parent=parent,
        parent_chains=chains,
        peers=peers,
    )


def _recorded_embodiment(buffer: EpisodeBuffer) -> Embodiment:
    """The contract that the episodes were recorded with."""
    from gac_ros.embodiment import embodiment_from_dict

    metadata = buffer[0].metadata
    assert metadata is not None, "every bag has metadata"
    return embodiment_from_dict(metadata.embodiment, origin=metadata.episode_id)


def _describe_data(buffer: EpisodeBuffer) -> None:
    console = make_console()
    console.print(
        f"{len(buffer)} episodes, {int(buffer.lengths.sum())} steps, return "
        f"{buffer.returns.mean():.1f} on average, {buffer.returns.max():.1f} at best",
        soft_wrap=True,
    )
    for problem in buffer.problems:
        make_console(stderr=True).print(f"left out: {problem.reason}", soft_wrap=True)


def _run(trainer: Trainer, out: Path, resume: bool) -> None:
    from gac_ros.training.run import run_training

    if trainer.peers.rank > 0:
        run_training(trainer, out, resume=resume)
        return
    with _training_progress(trainer.config.iterations) as on_step:
        checkpoint = run_training(trainer, out, resume=resume, on_step=on_step)
    console = make_console()
    if trainer.config.method == "gac":
        usage = trainer.plan_usage()
        console.print(
            f"Action error with an episode's own plan {usage.own:.3f}, with another's "
            f"{usage.other:.3f}, with a plan of the prior {usage.prior:.3f}"
            + ("" if usage.own < usage.other else "  (the plan is not used)"),
            soft_wrap=True,
        )
    console.print(f"Checkpoint: {checkpoint.path}", soft_wrap=True)
    console.print(f"Curves:     tensorboard --logdir {out}", soft_wrap=True)
    console.print(
        f"Try it:     gac evaluate --robot {checkpoint.embodiment.name} --checkpoint {out} "
        "--episodes 20 --out results",
        soft_wrap=True,
    )


@contextmanager
def _training_progress(iterations: int) -> Iterator[Any]:
    """A progress bar on stderr; a line in twenty parts where stderr is no terminal."""
    console = make_console(stderr=True)
    if not console.is_terminal:
        every = max(1, iterations // 20)

        def tell(report: StepReport) -> None:
            if report.iteration % every == 0 or report.iteration == iterations:
                typer.echo(f"iteration {report.iteration}/{iterations}, {_brief(report)}", err=True)

        yield tell
        return
    with progress_bar(console) as progress:
        task = progress.add_task("training", total=iterations, last="")

        def advance(report: StepReport) -> None:
            progress.update(task, completed=report.iteration, last=_brief(report))

        yield advance


def _brief(report: StepReport) -> str:
    """Log densities of the actions (a step) and of the return, and the chains' length."""
    actions = f"actions {report.log_actions:.2f}"
    if report.plan_norm == 0.0:  # behaviour cloning learns neither plans nor returns
        return actions
    return f"{actions} return {report.log_return:.2f} |z0| {report.plan_norm:.1f}"
