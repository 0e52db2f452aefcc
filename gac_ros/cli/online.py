"""`gac online`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import command_line, make_console, progress_bar
from gac_ros.cli.evaluate import TransportName
from gac_ros.cli.options import Device, Mjcf, Robot

if TYPE_CHECKING:
    from gac_ros.online.results import RoundResult

# Without a terminal about this many lines tell the progress of a stage.
_LINES = 4


class StrategyName(str, Enum):
    """How collecting plans are made."""

    EXPLORE = "explore"
    EXPLOIT = "exploit"
    PRIOR = "prior"
    POSTERIOR = "posterior"


class KeepName(str, Enum):
    """Which of the initial episodes are used."""

    ALL = "all"
    WORST_HALF = "worst-half"


Out = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the run: a folder a round, results.json and returns.png."
    ),
]
InitialData = Annotated[
    list[Path] | None,
    typer.Option(
        "--initial-data",
        help="Folder of episode bags to begin with; may be given several times.",
    ),
]
Keep = Annotated[
    KeepName,
    typer.Option(
        "--keep",
        help="Which of them. worst-half: those of the lowest returns, a weak start to improve "
        "upon.",
    ),
]
Collect = Annotated[
    StrategyName | None,
    typer.Option(
        "--collect",
        help="How collecting plans are made. explore: for a target return that tunes itself. "
        "exploit, prior, posterior (Latent Plan Transformer's sampling): what exploration is "
        "compared with. Default: the settings', explore.",
    ),
]
Episodes = Annotated[
    int | None,
    typer.Option("--episodes", min=1, help="To collect in all. Default: the settings', 300."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of starts, plans and trainings.")]
TransportOption = Annotated[
    TransportName,
    typer.Option(
        "--transport",
        help="inproc: the control loop in this process. ros: simulator and controller are two "
        "processes on a real ROS graph.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")
]


def online(
    context: typer.Context,
    robot: Robot,
    out: Out,
    initial_data: InitialData = None,
    keep: Keep = KeepName.ALL,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="Checkpoint or training run to begin with. Default: trained on --initial-data.",
        ),
    ] = None,
    collect: Collect = None,
    episodes: Episodes = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings (*.yaml). Default: config/train/online.yaml."),
    ] = None,
    seed: Seed = 0,
    transport: TransportOption = TransportName.INPROC,
    mjcf: Mjcf = None,
    device: Device = "cpu",
    resume: Resume = False,
) -> None:
    """Get better online: explore, fine-tune, exploit, round after round.

    Each round records episodes as bags, fine-tunes the model on all bags, and keeps the result if
    it is better on tuning starts; what is reported is measured on other starts. The run can be
    interrupted at any time: --resume continues it.

    Example: `gac online --robot pointmaze_umaze --initial-data episodes/umaze --keep worst-half
    --out runs/umaze-online`
    """
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.online.config import load_online_config
    from gac_ros.online.loop import run_online
    from gac_ros.online.report import rounds_table
    from gac_ros.online.request import OnlineRequest
    from gac_ros.online.results import RESULTS_FILE
    from gac_ros.resources import config_directory

    changes = {"collect": None if collect is None else collect.value, "episodes": episodes}
    settings = load_online_config(
        config or config_directory() / "train" / "online.yaml",
        {key: value for key, value in changes.items() if value is not None},
    )
    with one_thread():
        rounds = run_online(
            OnlineRequest(
                robot=robot,
                out=out,
                config=settings,
                seed=seed,
                initial_data=tuple(initial_data or ()),
                keep=keep.value,
                checkpoint=checkpoint,
                transport=transport.value,
                mjcf=mjcf,
                device=device,
                resume=resume,
                command_line=command_line(context),
            ),
            RoundProgress(),
        )
    console = make_console()
    console.print(rounds_table(rounds, f"{robot}: collecting by {settings.collect}, seed {seed}"))
    console.print(f"Results:    {out / RESULTS_FILE}", soft_wrap=True)
    draw_rounds(out)
    incumbent = out / rounds[-1].incumbent
    console.print(f"Checkpoint: {incumbent}", soft_wrap=True)
    console.print(
        f"Try it:     gac evaluate --robot {robot} --checkpoint {incumbent} --out results",
        soft_wrap=True,
    )


def draw_rounds(out: Path) -> None:
    """Draw the picture of a run and say where it is."""
    from gac_ros.errors import ConfigurationError
    from gac_ros.online.plot import PLOT_FILE, plot_runs

    console = make_console()
    try:
        picture = plot_runs({out.name: out}, out / PLOT_FILE)
    except ConfigurationError as error:
        # The run is done and its figures are safe; a picture less is no failure.
        console.print(f"No picture: {error}", soft_wrap=True)
        return
    console.print(f"Picture:    {picture}", soft_wrap=True)


class RoundProgress:
    """Bars for the stages on stderr, plain lines where that is no terminal; a line a round."""

    def __init__(self) -> None:
        self._console = make_console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        """A bar or lines for a stage."""
        if not self._console.is_terminal:
            yield _Lines(name, total)
            return
        with progress_bar(self._console) as progress:
            task = progress.add_task(name, total=total, last="")
            yield lambda words: progress.update(task, advance=1, last=words)

    def round_done(self, result: RoundResult) -> None:
        """A line for a round."""
        from gac_ros.online.report import COLUMNS, row

        cells = zip(COLUMNS, row(result), strict=True)
        self._console.print(", ".join(f"{name} {cell}" for name, cell in cells), soft_wrap=True)


class _Lines:
    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._every = max(1, total // _LINES)
        self._done = 0

    def __call__(self, words: str) -> None:
        self._done += 1
        if self._done % self._every == 0 or self._done == self._total:
            typer.echo(f"{self._name} {self._done}/{self._total} {words}".rstrip(), err=True)
