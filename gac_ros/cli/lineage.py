"""`gac lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import counted_progress, make_console

if TYPE_CHECKING:
    from rich.tree import Tree

    from gac_ros.lineage import Node, Score

BROKEN = 1
_SHORT = 12


def lineage(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders below which the checkpoints lie; runs, or single ones."),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Folder of episode bags, or an address of object storage; the episodes of every "
            "checkpoint are looked for there and their content is compared. May be given several "
            "times.",
        ),
    ] = None,
) -> None:
    """Print the tree of checkpoints: parents, episodes, settings, scores.

    Exit code 1 when a link is broken: a parent, weights or episodes that are missing or changed.

    Example: `gac lineage runs --data episodes`
    """
    from gac_ros.lineage import compare_data, read_forest

    forest = read_forest(folders)
    broken = list(forest.broken)
    if data:
        present = _content_digests(data)
        for node in forest.nodes():
            found = compare_data(node, present)
            node.problems += found
            broken += found
    console = make_console()
    for root in forest.roots:
        console.print(_tree(root, None), soft_wrap=True)
    if broken:
        errors = make_console(stderr=True)
        errors.print("Broken links:")
        for line in broken:
            errors.print(f"  {line}", soft_wrap=True)
        raise typer.Exit(BROKEN)


def _content_digests(folders: list[str]) -> dict[str, str]:
    from gac_ros.buffer.dataset import EpisodeBuffer

    buffer = EpisodeBuffer.open(folders)
    digests = {}
    with counted_progress(len(buffer), "comparing episodes") as advance:
        for name, episode in zip(buffer.ids, buffer, strict=True):
            digests[name] = episode.content_digest()
            advance()
    return digests


def _tree(node: Node, parent: Node | None) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text("\n".join(_lines(node, parent))))
    for child in node.children:
        tree.children.append(_tree(child, node))
    return tree


def _lines(node: Node, parent: Node | None) -> list[str]:
    short = node.digest[:_SHORT]
    if node.lineage is None:
        return [f"{short}  MISSING: only its children name it"]
    lineage = node.lineage
    lines = [f"{short}  {', '.join(map(str, node.paths))}"]
    lines.append(
        f"  {lineage.method}, {lineage.iterations} iterations, seed {lineage.seed}, "
        f"gac_ros {lineage.package_version}"
    )
    if lineage.iterations == 0 and parent is not None:
        # The same weights with another planner.
        lines[-1] = "  the parent's weights, planning in another way"
        return [*lines, *_findings(node)]
    lines.append(f"  {_data(node, parent)}")
    changes = _changes(node, parent)
    if changes:
        lines.append(f"  settings: {changes}")
    return lines + _findings(node)


def _findings(node: Node) -> list[str]:
    scores = [f"  {_score(score)}" for score in node.scores]
    return scores + [f"  BROKEN: {problem}" for problem in node.problems]


def _data(node: Node, parent: Node | None) -> str:
    assert node.lineage is not None
    text = f"{node.lineage.episodes} episodes ({node.lineage.data_digest[:_SHORT]})"
    if node.episodes is None:
        return f"{text}, not named"
    if parent is not None and parent.episodes is not None:
        before = {entry.id for entry in parent.episodes}
        own = {entry.id for entry in node.episodes}
        text += f", {len(own - before)} new, {len(before - own)} no longer"
    return text


def _changes(node: Node, parent: Node | None) -> str:
    """Settings that differ from the parent's, or from the built-in ones."""
    from gac_ros.training.config import TrainingConfig

    assert node.lineage is not None
    own = node.lineage.config
    if own is None:
        return ""
    known = None if parent is None or parent.lineage is None else parent.lineage.config
    other = _flat(known if known is not None else TrainingConfig().model_dump(mode="json"))
    differing = {key: value for key, value in _flat(own).items() if other.get(key) != value}
    whose = "parent's" if known is not None else "built-in ones"
    words = ", ".join(f"{key} {value}" for key, value in differing.items())
    return f"{words} (else the {whose})" if words else f"the {whose}"


def _flat(config: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _score(score: Score) -> str:
    text = f"{score.purpose}: {score.return_mean:.1f}"
    if score.return_ci95 is not None:
        low, high = score.return_ci95
        text += f" ± {(high - low) / 2.0:.1f}"
    text += f" over {score.episodes} episodes"
    if score.against is not None and score.difference is not None:
        text += f", {score.difference:+.1f} against {score.against[:_SHORT]}"
    return text
