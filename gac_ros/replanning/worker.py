"""The planning process: `python -m gac_ros.replanning.worker SOCKET SETTINGS`; see `process.py`."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.errors import GacError
from gac_ros.garbage import no_search_at_the_end
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.process import LARGEST_MESSAGE, READY
from gac_ros.replanning.replanner import Replanner
from gac_ros.replanning.situation import Situation
from gac_ros.replanning.wire import decode_situation, encode_advice

_NICENESS = 10


def main() -> int:
    """Answer situations until the other end closes; returns the exit code."""
    settings = json.loads(sys.argv[2])
    no_search_at_the_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the control loop has ended
    _behave_ordinarily()
    torch.set_num_threads(settings["threads"])
    threadpool_limits(settings["threads"], user_api="blas")
    with socket.socket(fileno=int(sys.argv[1])) as link:
        try:
            checkpoint = load_checkpoint(settings["checkpoint"], settings["device"])
        except GacError as error:
            print(f"planning process: error: {error}", file=sys.stderr)
            return error.exit_code
        config = ReplanningConfig.model_validate(settings["config"])
        replanner = Replanner(checkpoint, config)
        _warm_up(checkpoint, config)
        _give_way()
        try:
            link.send(READY)
            _serve(link, replanner, checkpoint, settings["slowdown"])
        except ConnectionError:
            pass  # the control loop is gone, and so is the need for advice
    return 0


def _behave_ordinarily() -> None:
    """Leave the priority of the control loop behind, which may be a real-time one."""
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(_NICENESS)


def _give_way() -> None:
    """Take only what nobody else wants of the processors, once configuring waits no more.

    A nice process does not make room at once: who wakes on its processor waits for the next tick of
    the kernel's clock, up to 4 ms. An idle one does, and its processor counts as free.
    """
    if hasattr(os, "SCHED_IDLE"):
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def _serve(
    link: socket.socket, replanner: Replanner, checkpoint: Checkpoint, slowdown: float
) -> None:
    while data := link.recv(LARGEST_MESSAGE):
        advice = replanner.consider(decode_situation(data, checkpoint.model.config))
        _compute(slowdown)
        link.send(encode_advice(advice))


def _compute(seconds: float) -> None:
    """Keep a processor busy, as a slow planner would."""
    matrix = torch.ones(64, 64)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        torch.mm(matrix, matrix)


def _warm_up(checkpoint: Checkpoint, config: ReplanningConfig) -> None:
    """The first gradient takes long; have it now."""
    sizes = checkpoint.model.config
    steps = config.window + sizes.burn_in
    start = checkpoint.starts[0].cpu().numpy()
    situation = Situation(
        step=steps,
        plan=checkpoint.make_planner(exploit_steps=0).plan("exploit", 0),
        promised=None,
        reward_sum=0.0,
        observation=start,
        observations=np.repeat(start[None], steps, axis=0),
        actions=np.zeros((steps, sizes.action_size), dtype=np.float32),
        may_change=True,
        seed=0,
    )
    Replanner(checkpoint, config.model_copy(update={"when": "periodic"})).consider(situation)


if __name__ == "__main__":
    sys.exit(main())
