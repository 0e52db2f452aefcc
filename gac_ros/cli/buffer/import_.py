"""`gac buffer import`: take in data of others as episodes."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import counted_progress, make_console
from gac_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from gac_ros.buffer.exchange.episodes import Dataset
    from gac_ros.buffer.importing.imported import ImportReport
    from gac_ros.buffer.importing.step_arrays import StepArrays
    from gac_ros.embodiment import Embodiment


class Steps(str, Enum):
    """How the steps of a recording are laid."""

    RATE = "rate"
    COMMANDS = "commands"


_RECORDING = "Of a recording: "
_MAX_HOLD = 0.5

Source = Annotated[
    Path,
    typer.Argument(
        help="A recording: a folder of `ros2 bag record`, or a file *.mcap or *.db3. Or a data "
        "set: the folder of one of Minari or LeRobot (v3), or step arrays (*.npz): "
        "observations (T+1 an episode), actions, rewards, lengths, terminated, truncated, and "
        "perhaps env_id and note."
    ),
]
RobotOfData = Annotated[
    str,
    typer.Option(
        "--robot",
        help="The robot the data are of: a packaged one, or an embodiment file (*.yaml).",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder that receives one bag an episode.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Of a data set: only the first so many episodes."),
]
Policy = Annotated[str, typer.Option("--policy", help="Who acted, for the bags' metadata.")]
Observation = Annotated[
    list[str] | None,
    typer.Option(
        "--observation",
        metavar="KEY",
        help="Of a Minari data set whose observations are a dictionary, or of a LeRobot one: "
        "the part that the robot observes; repeat it for several, in the embodiment's order.",
    ),
]
CutEvent = Annotated[
    str | None,
    typer.Option(
        "--cut-event",
        metavar="TOPIC",
        help=_RECORDING + "a topic that tells where episodes start and end: String (start, "
        "end, terminated, truncated, success, failure, discard), Bool, or Empty. Without any "
        "--cut the embodiment's episode_end_topic; if that was not recorded, the whole is one "
        "episode.",
    ),
]
CutGap = Annotated[
    float | None,
    typer.Option(
        "--cut-gap",
        metavar="SECONDS",
        help=_RECORDING + "a longer pause of the commands ends an episode.",
    ),
]
CutTable = Annotated[
    Path | None,
    typer.Option(
        "--cut-table",
        metavar="FILE",
        help=_RECORDING + "*.csv or *.yaml with start and end (seconds from the first "
        "message, or dates) of each episode, and perhaps return, outcome, success, "
        "terminated, truncated.",
    ),
]
Namespace = Annotated[
    str, typer.Option("--namespace", help=_RECORDING + "the robot's namespace in it.")
]
Topic = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        metavar="NAME=RECORDED",
        help=_RECORDING + "a topic of the embodiment that was called otherwise. Repeatable.",
    ),
]
StepsOption = Annotated[
    Steps,
    typer.Option(
        "--steps",
        help=_RECORDING + "a step at the control rate, or at each command, whatever the rate.",
    ),
]
MaxHold = Annotated[
    float,
    typer.Option(
        "--max-hold",
        min=0.0,
        metavar="SECONDS",
        help=_RECORDING + "how long a command stands for those that did not come; later steps "
        "are not learnt from.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help=_RECORDING + "only report what would be imported.")
]
ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help=_RECORDING + "write the report as JSON."),
]
AsJson = Annotated[bool, typer.Option("--json", help=_RECORDING + "print the report as JSON.")]


def import_episodes(
    source: Source,
    robot: RobotOfData,
    out: Out,
    limit: Limit = None,
    policy: Policy = "imported",
    observation: Observation = None,
    cut_event: CutEvent = None,
    cut_gap: CutGap = None,
    cut_table: CutTable = None,
    namespace: Namespace = "",
    topic: Topic = None,
    steps: StepsOption = Steps.RATE,
    max_hold: MaxHold = _MAX_HOLD,
    dry_run: DryRun = False,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Turn recordings and data sets of others into episode bags.

    A recording is cut into episodes, and its topics are brought to the control rate: each step
    has the newest message of each topic that was there before its command, none older than the
    embodiment allows. The report says what was left out, and why.

    An import that was interrupted goes on where it stopped when it is repeated.

    Examples: `gac buffer import rosbag2_2026_01_02 --robot arm.yaml --cut-gap 2 --out episodes`,
    `gac buffer import hopper.npz --robot hopper --out episodes/hopper`
    """
    from gac_ros.buffer.exchange.import_dataset import import_dataset
    from gac_ros.buffer.importing.import_steps import import_step_arrays
    from gac_ros.embodiment import find_embodiment

    embodiment = find_embodiment(robot)
    of_recordings: dict[str, object] = {
        "--cut-event": cut_event,
        "--cut-gap": cut_gap,
        "--cut-table": cut_table,
        "--namespace": namespace,
        "--topic": topic,
        "--steps": steps is not Steps.RATE,
        "--max-hold": max_hold != _MAX_HOLD,
        "--dry-run": dry_run,
        "--report": report,
        "--json": as_json,
    }
    if source.suffix == ".npz":
        _refuse("a data set of step arrays", {**of_recordings, "--observation": observation})
        arrays = _open_step_arrays(source, robot, embodiment)
        _import_all(import_step_arrays, arrays, embodiment, out, limit, policy)
        return
    dataset = _open_dataset(source, observation or [])
    if dataset is not None:
        _refuse("a data set", of_recordings)
        _import_all(import_dataset, dataset, embodiment, out, limit, policy)
        return
    _refuse("a recording", {"--limit": limit, "--observation": observation})
    from gac_ros.buffer.importing.align import Alignment
    from gac_ros.buffer.importing.cut_recording import CutBy
    from gac_ros.buffer.importing.import_recording import RecordingImport, import_recording
    from gac_ros.cli.buffer.recording import show_report

    how = RecordingImport(
        embodiment,
        cut=CutBy(cut_event, cut_gap, cut_table),
        alignment=Alignment(every_command=steps is Steps.COMMANDS, max_hold=max_hold),
        namespace=namespace,
        renamed=_renamed(topic or []),
        policy=policy,
    )
    show_report(
        import_recording(source, out, how, dry_run=dry_run, on_episode=_tell),
        as_json=as_json,
        file=report,
    )


def _refuse(kind: str, options: dict[str, object]) -> None:
    """An option that would do nothing is a mistake."""
    given = [name for name, value in options.items() if value not in (None, "", False, [])]
    if given:
        raise ConfigurationError(f"{given[0]} has no meaning with {kind}; leave it out")


def _open_dataset(source: Path, keys: list[str]) -> Dataset | None:
    """A data set of Minari or LeRobot; None if it is neither."""
    from gac_ros.buffer.exchange.lerobot_read import LeRobotDataset, is_lerobot
    from gac_ros.buffer.exchange.minari_format import MinariDataset, find_minari

    if is_lerobot(source):
        return LeRobotDataset(source, keys)
    if source.is_dir() and find_minari(source) is not None:
        return MinariDataset(source, keys)
    return None


def _tell(done: int, total: int) -> None:
    if done % max(1, total // 20) == 0 or done == total:
        typer.echo(f"importing: {done}/{total}", err=True)


def _renamed(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    for each, (name, _, recorded) in zip(given, pairs, strict=True):
        if not name or not recorded:
            raise ConfigurationError(
                f"--topic {each}: must read NAME=RECORDED, such as joint_states=/arm/joint_states"
            )
    return {name: recorded for name, _, recorded in pairs}


def _open_step_arrays(file: Path, robot: str, embodiment: Embodiment) -> StepArrays:
    from gac_ros.buffer.importing.import_steps import check_environment
    from gac_ros.buffer.importing.step_arrays import load_step_arrays
    from gac_ros.embodiment import known_robots

    arrays = load_step_arrays(file)
    # With an embodiment of their own, users say themselves what fits.
    if robot in known_robots():
        check_environment(embodiment, arrays.env_id, origin=str(file))
    return arrays


def _import_all(
    run: Callable[..., ImportReport],
    data: Dataset | StepArrays,
    embodiment: Embodiment,
    out: Path,
    limit: int | None,
    policy: str,
) -> None:
    """Import with a progress display and say what came of it."""
    total = len(data) if limit is None else min(limit, len(data))
    with counted_progress(total, "importing") as advance:
        report = run(data, embodiment, out, limit=limit, policy=policy, on_episode=advance)
    console = make_console()
    for loss in report.losses:
        console.print(f"not kept: {loss}", soft_wrap=True)
    text = f"{report.imported} episodes"
    if report.present:
        text += f" ({report.present} were there already)"
    text += f", {report.steps} steps: "
    returns = report.returns
    text += (
        f"return mean {returns.mean():.1f}, best {returns.max():.1f}"
        if len(returns)
        else "no returns"
    )
    text += f"; {report.terminated} terminated, {report.truncated} truncated"
    console.print(text, soft_wrap=True)
