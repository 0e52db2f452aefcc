"""Performs episodes with a simulator and a controller that are running, wherever they run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gac_ros.embodiment import Embodiment
from gac_ros.episode import LatencySummary
from gac_ros.errors import OutputError, TransportError
from gac_ros.evaluation.over_ros.greeting import Greeting
from gac_ros.evaluation.results import EpisodeResult, score

CONTROLLER = "gac_controller"
SIMULATOR = "sim"

# Longest spin before the processes are looked after again, in seconds.
_SPIN = 0.05
# Deep enough that no state of an episode is lost between two spins.
_STATE_QOS = QoSProfile(
    depth=20,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@dataclass(frozen=True)
class Deadlines:
    """Longest waits, in seconds.

    Attributes:
        startup: until simulator and controller answer; the controller loads the model first.
        service: for the answer to a request.
        plan: for a plan.
        episode: for an episode; None derives it from the robot's episode length.
    """

    startup: float = 120.0
    service: float = 20.0
    plan: float = 120.0
    episode: float | None = None

    def for_episode(self, embodiment: Embodiment, real_time_factor: float | None) -> float:
        """Longest wait for an episode: several times what a slow computer needs."""
        if self.episode is not None:
            return self.episode
        period = 0.1
        if real_time_factor is not None:
            period = max(period, 3.0 * embodiment.control_period / real_time_factor)
        return 30.0 + period * embodiment.episode_length


class EpisodeRunner:
    """Performs episodes with a running simulator and a running controller.

    The node's namespace is theirs. The runner spins the node itself, in each of its methods.

    Args:
        node: owned by the caller.
        embodiment: of the robot.
        deadlines: see there.
        real_time_factor: of the simulator; None in lock-step. For deadlines only.
        require_running: raises a TransportError when a process has ended; looked at while waiting.
        describe: what to add to the message of a timeout, such as the ends of the logs.
    """

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        *,
        deadlines: Deadlines | None = None,
        real_time_factor: float | None = None,
        require_running: Callable[[], None] = lambda: None,
        describe: Callable[[], str] = lambda: "",
    ) -> None:
        self._node = node
        self._embodiment = embodiment
        self._deadlines = deadlines or Deadlines()
        self._episode_deadline = self._deadlines.for_episode(embodiment, real_time_factor)
        self._require_running = require_running
        self._describe = describe
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._state: dict[str, Any] = {}
        node.create_subscription(String, f"{CONTROLLER}/episode", self._on_state, _STATE_QOS)
        self._start = node.create_client(Trigger, f"{CONTROLLER}/start_episode")
        self._discard = node.create_client(Trigger, f"{CONTROLLER}/discard_episode")
        self._controller_parameters = node.create_client(
            SetParameters, f"{CONTROLLER}/set_parameters"
        )
        self._pause = node.create_client(SetBool, f"{SIMULATOR}/set_pause")
        self._reset = node.create_client(Trigger, f"{SIMULATOR}/reset_world")
        self._simulator_parameters = node.create_client(
            SetParameters, f"{SIMULATOR}/set_parameters"
        )
        # The last clients, so that they speak for all others.
        self._greetings = {name: Greeting(node, name) for name in (CONTROLLER, SIMULATOR)}

    def close(self) -> None:
        """Let go of the node."""
        self._executor.shutdown()

    def connect(self) -> None:
        """Wait until simulator and controller answer and no episode is on.

        Raises:
            TransportError: they do not in time.
        """
        self._meet(
            "the controller",
            CONTROLLER,
            (self._start, self._discard, self._controller_parameters),
        )
        self._meet(
            "the simulator", SIMULATOR, (self._pause, self._reset, self._simulator_parameters)
        )
        self._wait(lambda: bool(self._state), self._deadlines.startup, "the controller's state")
        if self._state["state"] in ("planning", "ready"):
            # Left behind by a runner that is gone.
            self._call(self._discard, Trigger.Request(), "discard the episode")
        self._wait(
            lambda: self._state["state"] == "idle",
            self._episode_deadline,
            "the controller to finish an earlier episode",
        )

    def run_episode(self, seed: int) -> EpisodeResult:
        """Perform one episode; the seed is that of the plan and of the reset.

        Raises:
            TransportError: a process has ended or does not answer in time, or made no plan.
            OutputError: the episode could not be recorded.
        """
        return self.result_of(self.perform(seed))

    def perform(self, seed: int) -> dict[str, Any]:
        """As `run_episode`, but returns the controller's own summary of the episode."""
        self._call(self._pause, SetBool.Request(data=True), "pause")
        self._set_seed(self._controller_parameters, seed)
        episode = self._plan()
        self._set_seed(self._simulator_parameters, seed)
        self._call(self._reset, Trigger.Request(), "reset the simulator")
        self._call(self._pause, SetBool.Request(data=False), "resume")
        return self._summary_of(episode)

    def result_of(self, summary: dict[str, Any]) -> EpisodeResult:
        """The result that a controller's summary tells."""
        latency = summary["latency"]
        return EpisodeResult(
            seed=summary["seed"],
            episode_return=summary["episode_return"],
            length=summary["steps"],
            terminated=summary["terminated"],
            truncated=summary["truncated"],
            normalized_score=score(self._embodiment.name, summary["episode_return"]),
            latency=None if latency is None else LatencySummary(**latency),
            predicted_return=summary["predicted_return"],
            bag=None if summary["bag"] is None else Path(summary["bag"]),
        )

    def _meet(self, who: str, name: str, clients: tuple[Any, ...]) -> None:
        self._wait(
            lambda: all(client.service_is_ready() for client in clients),
            self._deadlines.startup,
            f"{who} to offer its services",
        )
        self._wait(self._greetings[name].answered, self._deadlines.startup, f"{who} to answer")

    def _plan(self) -> str:
        """Start an episode and wait for its plan; returns its id."""
        before = self._state.get("episode_id")
        self._call(self._start, Trigger.Request(), "start an episode")
        self._wait(
            lambda: (
                self._state["episode_id"] != before
                and self._state["state"] in ("ready", "running", "idle")
            ),
            self._deadlines.plan,
            "the controller's plan",
        )
        if self._state["state"] == "idle":
            raise TransportError(
                f"the controller gave the episode up: {self._state['error']}{self._details()}"
            )
        return str(self._state["episode_id"])

    def _summary_of(self, episode: str) -> dict[str, Any]:
        self._wait(
            lambda: self._state["state"] == "idle" or self._state["episode_id"] != episode,
            self._episode_deadline,
            "the episode's end",
        )
        summary = self._state["summary"]
        if summary is None or self._state["episode_id"] != episode:
            reason = self._state["error"] or "it was discarded or replaced"
            raise TransportError(f"episode {episode} has no result: {reason}{self._details()}")
        if summary["error"]:
            raise OutputError(f"episode {episode}: {summary['error']}")
        if summary["outcome"] == "interrupted":
            raise TransportError(f"episode {episode} was interrupted{self._details()}")
        return dict(summary)

    def _on_state(self, message: Any) -> None:
        self._state = json.loads(message.data)

    def _set_seed(self, client: Any, seed: int) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
        response = self._call(client, request, "take the seed")
        refusals = [result.reason for result in response.results if not result.successful]
        if refusals:
            raise TransportError(f"{client.srv_name}: the seed {seed} is refused: {refusals[0]}")

    def _call(self, client: Any, request: Any, what: str) -> Any:
        """Call a service and return its answer, which must not be a refusal."""
        future = client.call_async(request)
        try:
            self._wait(future.done, self._deadlines.service, f"{client.srv_name} to {what}")
        finally:
            if not future.done():
                client.remove_pending_request(future)
        response = future.result()
        if not getattr(response, "success", True):
            raise TransportError(f"{client.srv_name} would not {what}: {response.message}")
        return response

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self._require_running()
            if time.monotonic() > deadline:
                raise TransportError(f"waited {seconds:.0f} s in vain for {what}{self._details()}")
            self._executor.spin_once(timeout_sec=_SPIN)

    def _details(self) -> str:
        details = self._describe()
        return f"; {details}" if details else ""
