"""A worker without d3rlpy: acts at random, and writes down what it is asked to do."""

from __future__ import annotations

import sys
from pathlib import Path

from gac_ros.bench.learning.library import Library
from gac_ros.bench.value_based.learner import WORKER_SCRIPT

_SOURCE = """
import json, pathlib, random, sys
import numpy as np
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with np.load(arguments["--data"]) as file:
    began = {"do": "begin", "rewards": float(file["rewards"].sum()), "steps": len(file["actions"]),
             "last": file["rewards"][np.cumsum(file["lengths"]) - 1].tolist()}
log = open("asked.jsonl", "a")
weights = 0
def note(entry):
    log.write(json.dumps(entry) + "\\n"); log.flush()
note(began)
for line in sys.stdin:
    request = json.loads(line)
    what, answer = request["do"], {}
    if what == "act":
        answer = {"action": [random.uniform(-1, 1) * request["explore"] for _ in range(2)]}
    else:
        note(request)
    if what == "seed":
        random.seed(request["seed"])
    if what == "learn":
        weights += request["updates"]
        answer = {"cpu": 0.01 * request["updates"]}
    if what == "save":
        pathlib.Path(request["path"]).write_text(str(weights))
    if what == "load":
        weights = int(pathlib.Path(request["path"]).read_text())
    print(json.dumps(answer), flush=True)
"""


def small_library(folder: Path, *, broken_at: str = "") -> Library:
    """A library whose worker ends without an answer when it is asked for `broken_at`."""
    source = _SOURCE
    if broken_at:
        source = source.replace(
            "    what, answer", f"    if request['do'] == {broken_at!r}: break\n    what, answer"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WORKER_SCRIPT).write_text(source)
    return Library(folder, Path(sys.executable), WORKER_SCRIPT)
