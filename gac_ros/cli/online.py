"""`gac online`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import make_console, progress_bar
from gac_ros.cli.online_options import (
    Collect,
    Episodes,
    InitialData,
    Keep,
    KeepName,
    Out,
    Resume,
    Seed,
    TransportOption,
    make_request,
    read_settings,
)
from gac_ros.cli.options import Device, Mjcf, Robot, TransportName

if TYPE_CHECKING:
    from gac_ros.online.results import RoundResult

# Without a terminal about this many lines tell the progress of a stage.
_LINES = 4


FirstCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Checkpoint or training run to begin with. Default: trained on --initial-data.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings (*.yaml). Default: config/train/online.yaml."),
]


def online(
    context: typer.Context,
    robot: Robot,
    out: Out,
    data: InitialData = None,
    keep: Keep = KeepName.ALL,
    checkpoint: FirstCheckpoint = None,
    collect: Collect = None,
    episodes: Episodes = None,
    config: ConfigFile = None,
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
    from gac_ros.online.config import OnlineConfig
    from gac_ros.online.loop import run_online
    from gac_ros.online.report import rounds_table
    from gac_ros.online.results import RESULTS_FILE
    from gac_ros.resources import config_directory

    file = config or config_directory() / "train" / "online.yaml"
    settings = read_settings(OnlineConfig, file, collect, episodes)
    request = make_request(
        context, settings, robot, out, data, keep, checkpoint, seed, transport, mjcf, device, resume
    )
    with one_thread():
        rounds = run_online(request, RoundProgress())
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

    def say(self, words: str) -> None:
        """A line of its own."""
        self._console.print(words, soft_wrap=True)

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
