"""Drives a robot through episodes: plan, act, end, commit. The node's core, without its wiring."""

from __future__ import annotations

import math
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import DecodeError, GacError
from gac_ros.faults import Fault
from gac_ros.messages import FLOAT64, STRING, deserialize
from gac_ros.nodes.completion import Completed, Completion
from gac_ros.nodes.crew import Crew, Prepared
from gac_ros.nodes.episode_log import Ending, EpisodeLog
from gac_ros.nodes.inbox import Inbox
from gac_ros.nodes.parameters import EpisodeRequest, Settings, Tick
from gac_ros.nodes.pilot import Pilot
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.nodes.states import Hooks, Reply, State

# An episode whose end nobody announces is cut this many seconds after its full length.
_OVERTIME = 1.0
# Longest that a robot is kept waiting for a disk to open the bag, in seconds.
_LONGEST_OPENING = 1.0
# Decisions that nobody sees, before the first that counts.
_REHEARSALS = 10
# In lock-step the simulator stands still meanwhile: waiting harms nothing, and giving up on a
# reward that a busy machine is late with would cut the last step off. Seconds.
_LOCK_STEP_GRACE = 10.0


class EpisodeDriver:
    """Runs one episode after another: idle, planning, ready, running, ending, idle.

    All methods run on the executor's thread and return at once; only `stop` waits, for the bag.
    Plans are made, and bags completed, on other threads.

    Attributes:
        state: where the episode stands.
        log: the running account of the current or last episode.
        robot: whom the current or last episode has.
    """

    def __init__(
        self,
        crew: Crew,
        link: RecordedLink,
        pilot: Pilot,
        inbox: Inbox,
        settings: Settings,
        hooks: Hooks,
        logger: Any,
    ) -> None:
        self._crew = crew
        self._prepared: Prepared | None = None
        self.robot = robot = crew.robot
        self._link = link
        self._pilot = pilot
        self._inbox = inbox
        self._settings = settings
        self._hooks = hooks
        self._logger = logger
        embodiment = robot.embodiment
        self._reward_topic = embodiment.episode_return.topic
        self._end_topic = embodiment.episode_end_topic
        overtime = round(_OVERTIME * embodiment.control_rate) if self._end_topic else 0
        self._step_limit = embodiment.episode_length + overtime
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="planner")
        self._completion = Completion(
            link, embodiment, self._pool, inbox, self._tell_crew, self._completed, logger
        )
        self._ending = Ending()
        self._gave_up = False
        self._deadline = 0.0
        self._recording_failure = ""
        self.state = State.IDLE
        self.log: EpisodeLog | None = None

    # --- requests of an operator ------------------------------------------------------------------

    def start(self, request: EpisodeRequest) -> Reply:
        """Plan an episode; it is ready when the plan is there."""
        if self.log is not None and self.state is not State.IDLE:
            return Reply(
                False,
                f"episode {self.log.episode_id} is {self.state.value}; end or discard it first",
            )
        latched = self._pilot.safety.latched
        if latched:
            names = ", ".join(fault.value for fault in latched)
            return Reply(False, f"latched: {names}; call ~/reset_faults first")
        self.log = EpisodeLog(request)
        self._gave_up = False
        self._recording_failure = ""
        self.state = State.PLANNING
        self.announce()
        future = self._pool.submit(self._crew.prepare, request)
        self._inbox.when_done(future, partial(self._planned, self.log))
        return Reply(True, f"episode {self.log.episode_id} is being planned")

    def end(self, *, success: bool) -> Reply:
        """End the running episode with an operator's verdict."""
        if self.log is None or self.state is not State.RUNNING:
            return Reply(False, f"no episode is running (state: {self.state.value})")
        self._end(Ending(outcome="success" if success else "failure"))
        return Reply(
            True,
            f"episode {self.log.episode_id} is ending as a {'success' if success else 'failure'}",
        )

    def discard(self) -> Reply:
        """Give up the episode and delete its bag."""
        if self.log is None or self.state in (State.IDLE, State.ENDING):
            return Reply(False, f"there is no episode to discard (state: {self.state.value})")
        self._abandon("")
        return Reply(True, f"episode {self.log.episode_id} is discarded")

    def stop(self) -> None:
        """Interrupt what is going on, keep its bag, and send the safe action first and last."""
        self._pilot.hold("")  # before anything that could take time, or fail
        if self.state in (State.PLANNING, State.READY):
            self._abandon("interrupted before its first step")
        elif self.state is State.RUNNING:
            self._finish(Ending(outcome="interrupted"))
        elif self.state is State.ENDING and not self._completion.busy:
            self._finish(self._ending)
        # The robot has the safe action already. Another one costs nothing,
        # while waiting for its confirmation would cost seconds: DDS asks for it that rarely.
        self._completion.wait()
        self._pilot.hold("")

    def close(self) -> None:
        """End the planning thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def stop_the_robot(self) -> None:
        """Answer a fault at once, without waiting for the next observation.

        In lock-step the robot waits for the next decision anyway, and a command out of turn would
        be taken for it.
        """
        if self._settings.lock_step and self.state in (State.READY, State.RUNNING, State.ENDING):
            return
        if self.state is State.RUNNING:
            self._act()
        else:
            self._pilot.hold("")
            if self._pilot.gives_up and self.state is not State.READY:
                self._inbox.post(self._hooks.give_up)

    # --- messages of the robot --------------------------------------------------------------------

    def observe(self, topic: str, data: bytes) -> None:
        """A message of an observed topic."""
        if self.state in (State.IDLE, State.PLANNING) or self._completion.busy:
            self._pilot.note(topic)
            return
        self._pilot.receive(topic, data)
        if not self._pilot.ready:
            return
        if self._settings.lock_step:
            # After whatever came before this observation, an episode's end above all: a decision
            # beyond the end would never be executed.
            self._inbox.post(self._answer)
        elif self._settings.tick is Tick.OBSERVATION or self.state is State.ENDING:
            self._answer()

    def reward(self, data: bytes) -> None:
        """A message of the reward topic; it counts from the first action on."""
        if self.state not in (State.RUNNING, State.ENDING) or self._completion.busy:
            return
        assert self.log is not None
        assert self._reward_topic is not None
        try:
            reward = float(deserialize(data, FLOAT64).data)
        except DecodeError as error:
            self._logger.error(f"the episode has no return: {error}")
            reward = math.nan
        else:
            self._link.heard(self._reward_topic, data)
        self.log.add_reward(reward)
        self._pilot.rewarded(reward)
        if self.state is State.ENDING:
            self._finish_when_complete()
        elif self._settings.lock_step and self.robot.replanning and self._pilot.ready:
            self._inbox.post(self._answer)  # an observation may have waited for this reward

    def episode_end(self, data: bytes) -> None:
        """The robot's (or its simulator's) word that the episode is over."""
        if self.state is not State.RUNNING:
            return
        assert self._end_topic is not None
        try:
            text = deserialize(data, STRING).data
        except DecodeError as error:
            self._logger.error(f"the episode ends for an unknown reason: {error}")
            text = "truncated"
        else:
            self._link.heard(self._end_topic, data)
        self._end(Ending(terminated=text == "terminated", truncated=text != "terminated"))

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Act with the newest messages: once a control period when `tick` is `timer`."""
        if self.state in (State.READY, State.RUNNING):
            self._act()

    def watch(self) -> None:
        """The watchdog: once a control period of the steady clock."""
        self._link.hand_over()
        self._tell_unrecorded(self._link.recording_failure)
        if self.state in (State.READY, State.RUNNING):
            self._watch_control()
            return
        self._pilot.rest()
        if time.monotonic() < self._deadline:
            return
        if self.state is State.ENDING and not self._completion.busy:
            self._finish(self._ending)
        elif self.state is State.PLANNING and self.log is not None and self.log.plan is not None:
            self._become_ready()

    def _watch_control(self) -> None:
        if self.state is State.RUNNING and self._link.low_space:
            self._end(Ending(outcome="interrupted"))
            self._logger.error(f"the episode ends here: {self._link.low_space}")
        elif not self._settings.lock_step and self._pilot.quiet and self._pilot.problem():
            self._act()
        elif self.state is State.RUNNING and self._pilot.clock_stands_still:
            self._pilot.raise_fault(Fault.DEADLINE_MISSED, "the node's clock stands still")
            self._act()
        if self.state is State.READY and not self._settings.lock_step:
            self._pilot.rehearse()

    def _tell_unrecorded(self, failure: str) -> None:
        """Log once that the episode is not recorded, or not any further; the robot goes on."""
        if failure and failure != self._recording_failure:
            self._logger.error(f"the episode is not being recorded: {failure}")
            self._recording_failure = failure

    # --- the course of an episode -----------------------------------------------------------------

    def _planned(self, log: EpisodeLog, future: Future[Prepared]) -> None:
        if self.log is not log or self.state is not State.PLANNING:
            return  # discarded meanwhile
        try:
            self._prepared = prepared = future.result()
            log.plan, log.request = prepared.plan, prepared.request
            self.robot = prepared.robot
            self._pilot.begin(prepared)
        except Exception as error:
            details = str(error) if isinstance(error, GacError) else traceback.format_exc()
            self._logger.error(f"episode {log.episode_id} has no plan: {details}")
            self._become_idle(error=f"no plan: {error}")
            return
        self._deadline = time.monotonic() + _LONGEST_OPENING
        draft = self._metadata(Ending(), steps=0)
        self._inbox.when_done(self._link.begin(draft), partial(self._opened, log))
        self._link.send_plan(log.plan)

    def _opened(self, log: EpisodeLog, future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            self._tell_unrecorded(str(error) or type(error).__name__)
        if self.log is log and self.state is State.PLANNING:
            self._become_ready()

    def _become_ready(self) -> None:
        """Wait for the first observation, once the bag is open or its disk takes too long.

        Opening it takes the recorder's thread much of the interpreter's time.
        """
        if not self._settings.lock_step:
            for _ in range(_REHEARSALS):
                self._pilot.rehearse()
        self.state = State.READY
        self.announce()

    def _answer(self) -> None:
        """Act on a complete observation, or take it as the episode's last."""
        if not self._pilot.ready or self._completion.busy:
            return
        if self.state is State.ENDING:
            self._finish_when_complete()
        elif self.state in (State.READY, State.RUNNING) and not self._awaits_reward:
            self._act()

    @property
    def _awaits_reward(self) -> bool:
        """Whether a reward that the next look at the plan counts is still on its way.

        DDS gives no order across topics, and in lock-step equal seeds give equal plans.
        """
        actor = self.robot.replanning
        if not self._settings.lock_step or actor is None or not actor.counts_rewards:
            return False
        assert self.log is not None
        return self.log.rewards < self.log.decisions

    def _act(self) -> None:
        """One step; the first one starts the episode and needs a complete observation."""
        log, starts = self.log, self.state is State.READY
        assert log is not None
        if starts:
            problem, gives_up = self._pilot.inspect()
            if problem:
                self._pilot.hold(problem)
                if gives_up:
                    self._give_up(problem)
                elif self._settings.lock_step:
                    self._pilot.forget()
                return
            log.start()
            self.state = State.RUNNING
        elif log.decisions >= self._step_limit:
            self._end(Ending())
            return
        decision, latency, overrun = self._pilot.act()
        if decision.gives_up:
            self._give_up(decision.reason)
            return
        log.add_decision(decision, latency, overrun=overrun)
        if starts:
            self.announce()

    def _give_up(self, reason: str) -> None:
        """End the episode, and have the node deactivated."""
        self._gave_up = True
        self._finish(Ending(outcome="interrupted"))
        self._logger.error(f"the node gives up: {reason}")
        self._inbox.post(self._hooks.give_up)

    def _end(self, ending: Ending) -> None:
        """Stop deciding, and wait a little for what belongs to the last action."""
        self._ending = ending
        grace = self._settings.episode_end_grace
        if self._settings.lock_step:
            grace = max(grace, _LOCK_STEP_GRACE)
        self._deadline = time.monotonic() + grace
        self.state = State.ENDING
        if not self._settings.lock_step:
            self._pilot.hold("")  # at once: time goes on while we wait
        self._finish_when_complete()

    def _finish_when_complete(self) -> None:
        assert self.log is not None
        counted = self._settings.lock_step and self._reward_topic is not None
        owed = counted and self.log.rewards < self.log.decisions
        if self._pilot.ready and not owed:
            self._finish(self._ending)

    def _finish(self, ending: Ending) -> None:
        """Send the safe action and have the bag completed."""
        assert self.log is not None
        counted = self._settings.lock_step and self._reward_topic is not None
        steps = self.log.executed_steps(by_reward=counted)
        if steps == 0:
            self._abandon("it ended before a step was executed")
            return
        self._pilot.hold("")
        self.state = State.ENDING
        self._completion.begin(self._metadata(ending, steps=steps))

    def _metadata(self, ending: Ending, *, steps: int) -> EpisodeMetadata:
        assert self.log is not None
        return self.log.metadata(
            ending,
            embodiment=self.robot.embodiment,
            checkpoint=self.robot.checkpoint,
            topics=self._link.topics,
            steps=steps,
            label=self._hooks.label(),
            lock_step=self._settings.lock_step,
        )

    def _tell_crew(self, completed: Completed) -> None:
        """On the worker thread, so that the deployment knows before anybody hears of the end."""
        assert self._prepared is not None
        metadata = completed.metadata
        # The return of a part would pass for a fall; where the node gave up, there was one.
        whole = metadata.outcome != "interrupted" or self._gave_up
        metadata = metadata.model_copy(
            update={"episode_return": completed.episode_return if whole else None}
        )
        try:
            self._crew.episode_over(self._prepared, metadata)
        except GacError as error:
            self._logger.error(f"the deployment does not know of this episode: {error}")

    def _completed(self, completed: Completed) -> None:
        if completed.error:
            self._logger.error(f"episode {completed.metadata.episode_id}: {completed.error}")
        error = completed.error or self._link.low_space
        self._become_idle(error=error, summary=completed.summary())

    def _abandon(self, error: str) -> None:
        """Send the safe action and delete the bag; no error when an operator wanted it so."""
        self._pilot.hold("")
        self._link.discard()
        if error and self.log is not None:
            self._logger.warning(f"episode {self.log.episode_id} is discarded: {error}")
        self._become_idle(error=error)

    def _become_idle(self, *, error: str = "", summary: dict[str, Any] | None = None) -> None:
        self.state = State.IDLE
        self._pilot.statistics.last_error = error
        self.announce(error=error, summary=summary)
        self._hooks.episode_over()

    def announce(self, *, error: str = "", summary: dict[str, Any] | None = None) -> None:
        """Publish the episode's state."""
        log = self.log
        plan = log.plan if log else None
        self._link.announce(
            {
                "state": self.state.public,
                "episode_id": log.episode_id if log else None,
                "mode": log.request.mode if log else None,
                "seed": log.request.seed if log else None,
                "predicted_return": plan.predicted_return if plan else None,
                "summary": summary,
                "error": error or None,
            }
        )
