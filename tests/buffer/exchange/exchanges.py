"""Bags to another format and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import episode_bags
import numpy as np

from gac_ros.buffer.exchange.episodes import Dataset
from gac_ros.buffer.exchange.export import ExportReport, WriteDataset, export_buffer
from gac_ros.buffer.exchange.import_dataset import import_dataset
from gac_ros.buffer.exchange.lerobot_read import LeRobotDataset
from gac_ros.buffer.exchange.lerobot_write import write_lerobot
from gac_ros.buffer.exchange.minari_format import MinariDataset, write_minari
from gac_ros.buffer.importing.imported import ImportReport
from gac_ros.buffer.reader import parse_plan, read_episode, read_messages
from gac_ros.embodiment import Embodiment

PLAN, DECISION = "/gac_controller/plan", "/gac_controller/decision"
WRITERS: dict[str, WriteDataset] = {
    "minari": partial(write_minari, dataset_id="arm/test-v0"),
    "lerobot": partial(write_lerobot, task="wave"),
}
OPENERS: dict[str, Callable[..., Dataset]] = {"minari": MinariDataset, "lerobot": LeRobotDataset}


def there(format_: str, bags: Sequence[Path], out: Path) -> ExportReport:
    return export_buffer(bags, out, WRITERS[format_])


def back(
    format_: str, dataset: Path, out: Path, robot: Embodiment | None = None, **how: Any
) -> ImportReport:
    keys = how.pop("keys", ())
    opened = OPENERS[format_](dataset, keys)
    return import_dataset(opened, robot or episode_bags.embodiment(), out, **how)


def same_episode(left: Path, right: Path) -> None:
    """Two bags hold the same numbers to the last bit, and tell the same of them."""
    one, other = read_episode(left), read_episode(right)
    for name in ("observations", "actions", "rewards", "valid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.episode_return == other.episode_return
    assert (one.terminated, one.truncated) == (other.terminated, other.truncated)
    assert one.metadata is not None
    assert other.metadata is not None
    told = [
        metadata.model_dump(exclude={"topics", "source"})
        for metadata in (one.metadata, other.metadata)
    ]
    assert told[0] == told[1]
    assert plans(left) == plans(right)


def plans(bag: Path) -> list[Any]:
    """The plans of an episode, and the decisions between them."""
    kinds = [message for message in read_messages(bag) if message.topic in (PLAN, DECISION)]
    return [parse_plan(bag, each) if each.topic == PLAN else "decision" for each in kinds]
