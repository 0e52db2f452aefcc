"""Where checkpoints come from: their parents, their episodes, their settings and their scores.

A checkpoint names its parent by digest, not by path, so that folders may be moved. Here the files
are read without their weights being loaded; what does not fit together is named, never raised.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gac_ros.checkpoint import DESCRIPTION_FILE, EPISODES_FILE, WEIGHTS_FILE, Lineage
from gac_ros.errors import CheckpointError, OutputError
from gac_ros.files import write_text
from gac_ros.resources import is_packaged

SCORES_FILE = "scores.json"


class Score(BaseModel):
    """A figure of a checkpoint.

    Attributes:
        purpose: `gate`: on the tuning starts of a comparison; `report`: on reporting starts;
            `live`: on the running robot.
        episodes: how many.
        return_mean: their mean return.
        return_ci95: its 95 % interval; None with one episode.
        against: digest of the checkpoint it was compared with.
        difference: paired mean difference to that one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Literal["gate", "report", "live"]
    episodes: int
    return_mean: float
    return_ci95: tuple[float, float] | None = None
    against: str | None = None
    difference: float | None = None


_SCORES = TypeAdapter(list[Score])


class EpisodeEntry(BaseModel):
    """An episode that a checkpoint learned from; `sha256` is `Episode.content_digest`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sha256: str
    episode_return: float | None


def read_episode_list(checkpoint: Path) -> list[EpisodeEntry] | None:
    """Episodes of a checkpoint; None when it has no list.

    Raises:
        CheckpointError: the list is damaged.
    """
    path = checkpoint / EPISODES_FILE
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_bytes())
        return [
            EpisodeEntry(id=row["id"], sha256=row["sha256"], episode_return=row["return"])
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: the list of episodes is damaged ({error})") from error


def read_scores(checkpoint: Path) -> list[Score]:
    """Scores noted beside a checkpoint; empty when there are none.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = checkpoint / SCORES_FILE
    try:
        return _SCORES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path}: the scores cannot be read; remove the file") from error


def add_score(checkpoint: Path, score: Score) -> bool:
    """Note a score beside a checkpoint, once; False where nothing is, or can be, written.

    A packaged checkpoint has the scores that it was released with. Whoever measured has the figure
    in a file of its own, so that nothing is lost then.
    """
    if is_packaged(checkpoint):
        return False
    path = checkpoint / SCORES_FILE
    try:
        scores = read_scores(checkpoint)
        if score not in scores:
            write_text(path, _SCORES.dump_json([*scores, score], indent=1).decode() + "\n")
    except (CheckpointError, OutputError):
        return False
    return True


@dataclass
class Node:
    """A checkpoint in the tree.

    Attributes:
        digest: of its description, by which children name it.
        paths: where it lies; several when it was copied; none when it is missing.
        lineage: what it says of itself; None when it is missing.
        episodes: ids by which it names its data; None without a list.
        scores: noted beside it.
        problems: what is wrong with it, one line each.
        children: checkpoints that continue it.
    """

    digest: str
    paths: list[Path] = field(default_factory=list)
    lineage: Lineage | None = None
    episodes: list[EpisodeEntry] | None = None
    scores: list[Score] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def missing(self) -> bool:
        """Whether only its children tell of it."""
        return not self.paths


@dataclass(frozen=True)
class Forest:
    """Checkpoints by descent.

    Attributes:
        roots: those without a parent, and parents that are missing.
        broken: every broken link and damaged file, one line each.
    """

    roots: tuple[Node, ...]
    broken: tuple[str, ...]

    def nodes(self) -> Iterator[Node]:
        """All checkpoints, parents first."""
        waiting = list(self.roots)
        while waiting:
            node = waiting.pop(0)
            yield node
            waiting += node.children


def read_forest(folders: Sequence[Path]) -> Forest:
    """All checkpoints below some folders.

    Raises:
        CheckpointError: a folder is missing, or none holds a checkpoint.
    """
    nodes: dict[str, Node] = {}
    damaged: list[str] = []
    for path in _checkpoints(folders):
        try:
            node = _read_node(path)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        known = nodes.setdefault(node.digest, node)
        if known is not node:
            known.paths.append(path)
            known.problems += node.problems
            known.scores += [score for score in node.scores if score not in known.scores]
    if not nodes and not damaged:
        names = ", ".join(map(str, folders))
        raise CheckpointError(f"{names}: no checkpoint below; give the folder of a training run")
    roots = _arrange(nodes)
    problems = [problem for node in nodes.values() for problem in node.problems]
    return Forest(tuple(roots), (*damaged, *problems))


def _checkpoints(folders: Sequence[Path]) -> Iterator[Path]:
    """Checkpoint directories, each once however many links lead to it."""
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such folder; correct the path")
        for root, names, files in os.walk(folder):
            # Folders that are still being written are hidden.
            names[:] = sorted(name for name in names if not name.startswith("."))
            path = Path(root)
            if DESCRIPTION_FILE in files and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _read_node(path: Path) -> Node:
    description = path / DESCRIPTION_FILE
    try:
        data = description.read_bytes()
        content: dict[str, Any] = json.loads(data)
        lineage = Lineage.model_validate(content["lineage"])
        weights = str(content["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{description}: the checkpoint is damaged: {reason}") from error
    node = Node(hashlib.sha256(data).hexdigest(), [path], lineage)
    if _digest(path / WEIGHTS_FILE) != weights:
        node.problems.append(f"{path / WEIGHTS_FILE}: the weights are missing or damaged")
    listed = lineage.episodes_sha256
    if listed is not None and _digest(path / EPISODES_FILE) != listed:
        node.problems.append(f"{path / EPISODES_FILE}: the list of episodes is missing or damaged")
    elif listed is not None:
        node.episodes = read_episode_list(path)
    try:
        node.scores = read_scores(path)
    except CheckpointError as error:
        node.problems.append(str(error))
    return node


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _arrange(nodes: dict[str, Node]) -> list[Node]:
    """Hang children under their parents; parents that nobody has become nodes without a path."""
    roots: list[Node] = []
    missing: dict[str, Node] = {}
    for node in nodes.values():
        assert node.lineage is not None
        parent = node.lineage.parent
        if parent is None:
            roots.append(node)
            continue
        if parent not in nodes and parent not in missing:
            missing[parent] = Node(parent)
            roots.append(missing[parent])
        if parent in missing:
            node.problems.append(
                f"{node.paths[0]}: its parent {parent[:12]} is not below the given folders"
            )
        (nodes.get(parent) or missing[parent]).children.append(node)
    for node in (*nodes.values(), *missing.values()):
        node.children.sort(key=lambda child: str(child.paths[0]))
    return roots


def compare_data(node: Node, present: dict[str, str]) -> list[str]:
    """What is wrong with a checkpoint's episodes, one line each.

    Args:
        node: the checkpoint.
        present: `Episode.content_digest` by id, of the episodes that are there.
    """
    if node.missing or (node.lineage is not None and node.lineage.iterations == 0):
        return []  # nothing was learned since the parent
    where = node.paths[0]
    if node.episodes is None:
        return [f"{where}: it does not name its episodes"]
    gone = [entry.id for entry in node.episodes if entry.id not in present]
    changed = [
        entry.id for entry in node.episodes if present.get(entry.id, entry.sha256) != entry.sha256
    ]
    problems = []
    for names, what in ((gone, "missing"), (changed, "changed")):
        if names:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            total = len(node.episodes)
            problems.append(f"{where}: {len(names)} of its {total} episodes are {what}: {some}")
    return problems
