"""`gac bench control` and `gac bench soak`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.bench_output import JsonFile, conclude, print_table
from gac_ros.cli.display import counted_progress, make_console

if TYPE_CHECKING:
    from gac_ros.bench.control_tables import TextTable
    from gac_ros.bench.goals import SpeedGoal
    from gac_ros.bench.over_ros.soak import SoakReport
    from gac_ros.bench.over_ros.validity import Answered

Decision = Annotated[bool, typer.Option("--decision", help="The time of a decision.")]
Latency = Annotated[
    bool, typer.Option("--latency", help="State message to action message, over DDS.")
]
Plans = Annotated[bool, typer.Option("--plans", help="The time of a plan.")]
Missed = Annotated[
    bool, typer.Option("--missed", help="Ticks missed with a planner that takes 2 s.")
]
Jitter = Annotated[bool, typer.Option("--jitter", help="How evenly commands come at 200 Hz.")]
RobotOfModel = Annotated[
    str, typer.Option("--robot", help="Whose sizes a decision's model has; name or file.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Training settings (*.yaml) of a decision's model."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Repeats = Annotated[int, typer.Option("--repeats", min=1, help="Rounds of decisions and of plans.")]
LatencySeconds = Annotated[
    float,
    typer.Option("--latency-seconds", min=0.1, help="Of each way to answer, at each rate."),
]
LatencyTicks = Annotated[
    int,
    typer.Option("--latency-ticks", min=0, help="At least, of each way to answer, at each rate."),
]
MissedSeconds = Annotated[
    float, typer.Option("--missed-seconds", min=0.1, help="With each planner, at 200 Hz.")
]
JitterSeconds = Annotated[
    float, typer.Option("--jitter-seconds", min=0.1, help="Idle, loaded, and loaded with priority.")
]
SoakTicks = Annotated[
    int, typer.Option("--ticks", min=0, help="Control ticks in lock-step; 0: none.")
]
SoakMinutes = Annotated[
    float, typer.Option("--minutes", min=0.0, help="In real time at 200 Hz; 0: none.")
]


def control(
    decision: Decision = False,
    latency: Latency = False,
    plans: Plans = False,
    missed: Missed = False,
    jitter: Jitter = False,
    robot: RobotOfModel = "hopper",
    config: ConfigFile = None,
    device: Device = "cpu",
    repeats: Repeats = 10,
    latency_seconds: LatencySeconds = 16.0,
    latency_ticks: LatencyTicks = 2500,
    missed_seconds: MissedSeconds = 50.0,
    jitter_seconds: JitterSeconds = 60.0,
    json_file: JsonFile = None,
) -> None:
    """Measure control, from a decision to the whole way over DDS; some sixteen minutes.

    Without a choice of parts all of them are measured. What is compared runs side by side, in
    turns, so that the ratios hold on a busy machine too; the other times want an idle one. The
    model has the default sizes and random weights, as time knows none.

    Example: `gac bench control --decision --latency --json control-speed.json`
    """
    from gac_ros.checkpoint import resolve_device

    resolve_device(device)  # before minutes have gone
    everything = not (decision or latency or plans or missed or jitter)
    with _concluded(device, json_file) as found:
        if everything or decision:
            _decisions(robot, config, repeats, found)
        if everything or plans:
            _plans(repeats, found)
        if everything or latency:
            _latency(latency_seconds, latency_ticks, found)
        if everything or missed:
            _missed(missed_seconds, found)
        if everything or jitter:
            _jitter(jitter_seconds, found)


def soak(
    ticks: SoakTicks = 1_000_000,
    minutes: SoakMinutes = 30.0,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Let the controller run long: does its memory grow, does it get slower, does it miss ticks?

    First in lock-step, recording, as quickly as it goes; then in real time, recording and
    re-planning without pause. Takes about an hour.

    Example: `gac bench soak --ticks 100000 --minutes 2 --json soak.json`
    """
    from gac_ros.bench.over_ros.soak import (
        REAL_TIME_RATE,
        sample_count,
        soak_lock_step,
        soak_real_time,
    )
    from gac_ros.checkpoint import resolve_device
    from gac_ros.errors import ConfigurationError

    resolve_device(device)
    if not (ticks or minutes):
        raise ConfigurationError("nothing to do: give --ticks or --minutes more than 0")
    with _concluded(device, json_file) as found:
        if ticks:
            total = sample_count(ticks)
            with _folder() as folder, counted_progress(total, "lock-step") as advance:
                report = soak_lock_step(folder, ticks=ticks, device=device, on_sample=advance)
            _add_soak("lock_step", report, found)
        if minutes:
            total = sample_count(max(1, round(60.0 * minutes * REAL_TIME_RATE)))
            with _folder() as folder, counted_progress(total, "real time") as advance:
                report = soak_real_time(folder, minutes=minutes, device=device, on_sample=advance)
            _add_soak("real_time", report, found)


def _add_soak(name: str, report: SoakReport, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.over_ros.limits import soak_limits

    _print(tables.soak_table([report]))
    found.goals += report.goals()
    found.limits += soak_limits(report)
    found.figures[name] = report.model_dump()


@dataclass
class _Found:
    """What the parts have found so far.

    Attributes:
        device: where the model runs.
        goals: how they stand.
        limits: where the time goes where a goal is missed.
        figures: of each part, by its name.
        answered: parts whose answers might not count.
    """

    device: str
    goals: list[SpeedGoal] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)

    def conclude(self, json_file: Path | None, **more: str) -> None:
        """Print and keep all of it, `more` as figures."""
        goals = list(self.goals)
        if self.answered:
            from gac_ros.bench.over_ros.validity import validity_goals

            goals += validity_goals(self.answered)
        conclude(goals, {"device": self.device, **self.figures, **more}, json_file)
        for line in self.limits:
            make_console().print(line, soft_wrap=True, highlight=False)


@contextmanager
def _concluded(device: str, json_file: Path | None) -> Iterator[_Found]:
    """What is found is printed and kept in the end, even if a later part fails or is interrupted.

    The file of a run that did not end says so as `unfinished`.
    """
    found = _Found(device)
    try:
        yield found
    except BaseException as error:
        if found.figures:
            found.conclude(json_file, unfinished=f"{type(error).__name__}: {error}")
        raise
    found.conclude(json_file)


def _decisions(robot: str, config: Path | None, repeats: int, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.control import measure_decisions
    from gac_ros.bench.over_ros.limits import decision_limits
    from gac_ros.embodiment import find_embodiment
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.training.config import TrainingConfig, load_training_config

    settings = TrainingConfig() if config is None else load_training_config(config)
    model = settings.model_for(find_embodiment(robot))
    with one_thread(), counted_progress(repeats, "decisions, rounds") as advance:
        report = measure_decisions(model, repeats=repeats, device=found.device, on_round=advance)
    _print(tables.decision_table(report))
    found.goals += report.goals()
    found.limits += decision_limits(report)
    found.figures |= {"model": model.model_dump(), "decision": report.model_dump()}


def _plans(repeats: int, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.over_ros.subject import make_subject
    from gac_ros.bench.planning import measure_plans
    from gac_ros.checkpoint import load_checkpoint
    from gac_ros.evaluation.threads import one_thread

    with _folder() as folder:
        subject = make_subject(folder, rate=200.0, length=1000)
        checkpoint = load_checkpoint(subject.checkpoint, found.device)
    with one_thread(), counted_progress(repeats, "plans, rounds") as advance:
        report = measure_plans(checkpoint, repeats=repeats, on_round=advance)
    _print(tables.plan_table(report))
    found.figures["plans"] = report.model_dump()


def _latency(seconds: float, ticks: int, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.over_ros.latency import measure_latency, turns
    from gac_ros.bench.over_ros.limits import latency_limits

    total = turns(seconds, ticks)
    with _folder() as folder, counted_progress(total, "state to action, turns") as advance:
        report = measure_latency(
            folder, seconds=seconds, ticks=ticks, device=found.device, on_turn=advance
        )
    _print(tables.latency_table(report))
    found.goals += report.goals()
    found.limits += latency_limits(report)
    found.figures["latency"] = report.model_dump()
    found.answered += report.trips


def _missed(seconds: float, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.over_ros.jitter import measure_missed, missed_turns
    from gac_ros.bench.over_ros.limits import missed_limits

    total = missed_turns(seconds)
    with _folder() as folder, counted_progress(total, "slow planner, turns") as advance:
        report = measure_missed(folder, seconds=seconds, device=found.device, on_turn=advance)
    _print(tables.missed_table(report))
    found.goals += report.goals()
    found.limits += missed_limits(report)
    found.figures["missed"] = report.model_dump()
    found.answered += report.answerers


def _jitter(seconds: float, found: _Found) -> None:
    from gac_ros.bench import control_tables as tables
    from gac_ros.bench.over_ros.jitter import JITTERS, measure_jitter

    total = len(JITTERS) * max(1, round(seconds))
    with _folder() as folder, counted_progress(total, "jitter, seconds") as advance:
        report = measure_jitter(folder, seconds=seconds, device=found.device, on_second=advance)
    _print(tables.jitter_table(report))
    found.figures["jitter"] = report.model_dump()
    found.answered += report.jitters


def _print(table: TextTable) -> None:
    print_table(table.title, table.columns, table.rows)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for bags and logs, deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="gac-bench-") as folder:
        yield Path(folder)
