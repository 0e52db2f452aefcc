"""The whole circle: collect, fine-tune, compare, shadow, trial; and what a kill leaves."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.cli.app import main
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.errors import ConfigurationError
from gac_ros.improve.config import ImproveConfig
from gac_ros.improve.loop import run_improve
from gac_ros.lineage import read_forest
from gac_ros.online.request import OnlineRequest
from gac_ros.online.results import RoundResult
from tests.online.small_runs import CONFIG as ONLINE
from tests.online.small_runs import ROBOT, Loud, Silent, kill_at
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
CONFIG = ImproveConfig.model_validate(
    {
        **ONLINE.model_dump(),
        "episodes": 2,
        "round_episodes": 1,
        "evaluation_episodes": 1,
        "gate_episodes": 0,
        "deployment": {"shadow_episodes": 2, "trial_episodes": 2, "least_episodes": 2},
    }
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    return save_checkpoint(untrained_checkpoint(ROBOT), folder / "checkpoint")


def improve(
    out: Path, first: Path, watch: Silent | None = None, **changes: object
) -> list[RoundResult]:
    request = {"robot": ROBOT, "out": out, "config": CONFIG, "checkpoint": first, **changes}
    return run_improve(OnlineRequest(**request), out / "deployment", watch or Silent())


class HaltsInShadow(Loud):
    """Goes on no more once an episode was compared in shadow, so that the kill comes there."""

    def __init__(self, deployment: Path) -> None:
        super().__init__()
        self._folder = DeploymentFolder(deployment)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        with super().stage(name, total) as said:

            def advance(words: str) -> None:
                said(words)
                if name.endswith("live") and self._folder.read().stage == "shadow":
                    threading.Event().wait()

            yield advance


def go_on(out: Path, first: Path, _: Silent) -> None:
    """Begin the run, or resume it; called by `kill_at`."""
    watch = HaltsInShadow(out / "deployment")
    improve(out, first, watch, resume=(out / "run.json").exists())


@pytest.fixture(scope="module")
def finished(
    first: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[RoundResult]]:
    out = tmp_path_factory.mktemp("whole") / "run"
    return out, improve(out, first)


def test_accepted_candidates_go_live_and_their_episodes_are_learned_from(
    first: Path, finished: tuple[Path, list[RoundResult]]
) -> None:
    out, rounds = finished
    live = [result.live for result in rounds[1:]]
    assert all(one is not None and len(one.seeds) == 4 for one in live)
    assert rounds[2].episodes == 2 + 2 * 4
    state = DeploymentFolder(out / "deployment").read()
    assert state.stage == "steady"
    verdicts = [entry.event for entry in state.log if entry.event in ("confirmed", "rolled back")]
    assert [one.why.split(":")[0] for one in live if one] == verdicts
    assert state.acting.digest == rounds[-1].incumbent_digest
    # The second fine-tuning knew the first round's live episodes.
    learner = load_checkpoint(out / rounds[2].learner)
    assert learner.lineage.episodes == 1 + 4 + 1
    assert any("parent" in line for line in read_forest([out]).broken)
    assert read_forest([out, first]).broken == ()
    assert improve(out, first, resume=True) == rounds


def test_a_circle_killed_while_a_candidate_is_live_goes_on(
    first: Path, finished: tuple[Path, list[RoundResult]], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    killed_in = []
    for stage in ("round-01: live", "round-01: live", "round-02: live"):
        kill_at(stage, "tests.improve.test_loop", out, first)
        killed_in.append(DeploymentFolder(out / "deployment").read().stage)
    assert killed_in[::2] == ["shadow", "shadow"]
    rounds = improve(out, first, resume=True)
    whole, expected = finished
    for one, two in zip(rounds, expected, strict=True):
        assert one.collection == two.collection
        assert one.exploitation == two.exploitation
        assert (one.live is None) == (two.live is None)
        if one.live is not None and two.live is not None:
            assert one.live.kept == two.live.kept
            assert one.live.differences == two.live.differences
    events = [
        [entry.event for entry in DeploymentFolder(folder / "deployment").read().log]
        for folder in (out, whole)
    ]
    assert events[0] == events[1]


def test_a_candidate_waits_for_the_trial_of_another(first: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"episodes": 1})
    folder = DeploymentFolder(tmp_path / "run" / "deployment")
    folder.begin(name_checkpoint(first), CONFIG.deployment)
    folder.change(lambda state: state.model_copy(update={"stage": "trial"}))
    with pytest.raises(ConfigurationError, match=r"is on trial.*--resume"):
        improve(tmp_path / "run", first, config=config)
    folder.change(lambda state: state.model_copy(update={"stage": "steady"}))
    rounds = improve(tmp_path / "run", first, config=config, resume=True)
    assert rounds[1].live is not None


def test_the_deployment_of_another_run_is_not_taken(first: Path, tmp_path: Path) -> None:
    improve(tmp_path / "run", first, config=CONFIG.model_copy(update={"episodes": 1}))
    other = save_checkpoint(untrained_checkpoint(ROBOT, seed=1), tmp_path / "other")
    request = OnlineRequest(robot=ROBOT, out=tmp_path / "second", config=CONFIG, checkpoint=other)
    with pytest.raises(ConfigurationError, match="another folder for the deployment"):
        run_improve(request, tmp_path / "run" / "deployment", Silent())


def test_a_deployment_that_is_no_folder_is_told_before_the_run_begins(
    first: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    request = OnlineRequest(robot=ROBOT, out=tmp_path / "run", config=CONFIG, checkpoint=first)
    with pytest.raises(ConfigurationError, match="is no folder; give one"):
        run_improve(request, tmp_path / "file", Silent())
    assert not (tmp_path / "run").exists()


def test_the_command_shows_rounds_and_promotions(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.yaml"
    content = {**CONFIG.model_dump(mode="json"), "episodes": 1, "gate_episodes": 1}
    settings.write_text(json.dumps(content))
    arguments = ["improve", "--robot", ROBOT, "--out", str(tmp_path / "a run")]
    begun = [*arguments, "--checkpoint", str(first), "--config", str(settings)]
    assert main(begun) == 0
    output = capsys.readouterr().out
    assert "promotions" in output
    assert "started" in output
    assert "Acting:" in output
    (descent,) = [line for line in output.splitlines() if line.startswith("Descent:")]
    command = shlex.split(descent.removeprefix("Descent:"))
    assert command[:2] == ["gac", "lineage"]
    assert main(command[1:]) == 0
    assert main([*arguments, "--config", str(settings), "--resume"]) == 0
    assert main(begun) == 2
