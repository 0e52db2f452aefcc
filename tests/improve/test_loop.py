"""The whole circle: collect, fine-tune, compare, shadow, trial; and what a kill leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.cli.app import main
from gac_ros.deployment.folder import DeploymentFolder
from gac_ros.errors import ConfigurationError
from gac_ros.improve.config import ImproveConfig
from gac_ros.improve.loop import run_improve
from gac_ros.lineage import read_forest
from gac_ros.online.request import OnlineRequest
from gac_ros.online.results import RoundResult
from tests.online.test_loop import CONFIG as ONLINE
from tests.online.test_loop import ROBOT, Silent
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
CONFIG = ImproveConfig.model_validate(
    {
        **ONLINE.model_dump(),
        "episodes": 2,
        "round_episodes": 1,
        "evaluation_episodes": 1,
        "gate_episodes": 0,
        "deployment": {"shadow_episodes": 1, "trial_episodes": 2, "least_episodes": 2},
    }
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    return save_checkpoint(untrained_checkpoint(ROBOT), folder / "checkpoint")


def improve(out: Path, first: Path, **changes: object) -> list[RoundResult]:
    request = {"robot": ROBOT, "out": out, "config": CONFIG, "checkpoint": first, **changes}
    return run_improve(OnlineRequest(**request), out / "deployment", Silent())


def test_accepted_candidates_go_live_and_their_episodes_are_learned_from(
    first: Path, tmp_path: Path
) -> None:
    rounds = improve(tmp_path / "run", first)
    live = [result.live for result in rounds[1:]]
    assert all(one is not None and len(one.seeds) == 3 for one in live)
    assert rounds[2].episodes == 2 + 2 * 3
    state = DeploymentFolder(tmp_path / "run" / "deployment").read()
    assert state.stage == "steady"
    verdicts = [entry.event for entry in state.log if entry.event in ("confirmed", "rolled back")]
    assert [one.why.split(":")[0] for one in live if one] == verdicts
    assert state.acting.digest == rounds[-1].incumbent_digest
    # The second fine-tuning knew the first round's live episodes.
    learner = load_checkpoint(tmp_path / "run" / rounds[2].learner)
    assert learner.lineage.episodes == 1 + 3 + 1
    assert any("parent" in line for line in read_forest([tmp_path / "run"]).broken)
    assert read_forest([tmp_path / "run", first]).broken == ()
    assert improve(tmp_path / "run", first, resume=True) == rounds


def test_a_circle_killed_while_a_candidate_is_live_goes_on(first: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; from contextlib import contextmanager\n"
        "from tests.improve import test_loop as t\n"
        "class Loud(t.Silent):\n"
        "    @contextmanager\n"
        "    def stage(self, name, total):\n"
        "        yield lambda words: print(name, flush=True)\n"
        "t.Silent = Loud\n"
        "out, first = map(Path, sys.argv[1:3])\n"
        "t.improve(out, first, resume=(out / 'run.json').exists())\n"
    )
    for stage in ("round-01: live", "round-01: live", "round-02: live"):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(out), str(first)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        assert any(stage in line for line in process.stdout), stage
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    rounds = improve(out, first, resume=True)
    whole = improve(tmp_path / "whole", first)
    for one, two in zip(rounds, whole, strict=True):
        assert one.collection == two.collection
        assert one.exploitation == two.exploitation
        assert one.live is None or (two.live is not None and one.live.kept == two.live.kept)
    events = [
        [entry.event for entry in DeploymentFolder(folder / "deployment").read().log]
        for folder in (out, tmp_path / "whole")
    ]
    assert events[0] == events[1]


def test_the_deployment_of_another_run_is_not_taken(first: Path, tmp_path: Path) -> None:
    improve(tmp_path / "run", first, config=CONFIG.model_copy(update={"episodes": 1}))
    other = save_checkpoint(untrained_checkpoint(ROBOT, seed=1), tmp_path / "other")
    request = OnlineRequest(robot=ROBOT, out=tmp_path / "second", config=CONFIG, checkpoint=other)
    with pytest.raises(ConfigurationError, match="another folder for the deployment"):
        run_improve(request, tmp_path / "run" / "deployment", Silent())


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
    assert main([*arguments, "--config", str(settings), "--resume"]) == 0
    assert main(begun) == 2
