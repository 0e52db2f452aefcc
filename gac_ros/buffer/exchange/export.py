"""Write the episodes of a buffer as a data set of another format."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gac_ros.buffer.exchange.episodes import Exchanged, read_exchanged
from gac_ros.buffer.reader import read_metadata
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.errors import EpisodeError, OutputError

# Writes a data set into an empty folder and says what the format could not hold.
WriteDataset = Callable[[Path, Embodiment, Iterator[Exchanged]], tuple[str, ...]]


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        path: the data set.
        episodes: written.
        steps: written.
        left_out: why episodes were left out, one line each.
        losses: what the format could not hold, one line each.
    """

    path: Path
    episodes: int
    steps: int
    left_out: tuple[str, ...]
    losses: tuple[str, ...]


def export_buffer(
    bags: Sequence[Path],
    out: Path,
    write: WriteDataset,
    *,
    on_episode: Callable[[], None] | None = None,
) -> ExportReport:
    """Export bags of one robot; the data set appears only when it is complete.

    Bags that are damaged are left out.

    Args:
        bags: in the order of the data set.
        out: folder of the data set; it must not exist yet, or be empty.
        write: of the format.
        on_episode: called after each bag.

    Raises:
        OutputError: the folder cannot be written, or holds something.
        EpisodeError: no bag can be read.
        EmbodimentError: bags are of different embodiments.
    """
    out = Path(out)
    left_out: list[str] = []
    written: list[int] = []
    embodiment = _embodiment(bags, left_out)
    kept = _Returns()

    def read() -> Iterator[Exchanged]:
        for bag in bags:
            try:
                episode = read_exchanged(bag, embodiment)
            except EpisodeError as error:
                if str(error) not in left_out:
                    left_out.append(str(error))
            else:
                yield episode
                written.append(len(episode.steps.actions))
                kept.look(episode)
            if on_episode is not None:
                on_episode()
        if not written:
            raise EpisodeError(f"no episode can be exported; the first: {left_out[0]}")

    draft = out.with_name(f".{out.name}.incomplete")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out}: is there already; choose another folder")
        shutil.rmtree(draft, ignore_errors=True)  # of an export that was interrupted
        draft.mkdir(parents=True)
        losses = write(draft, embodiment, read())
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written ({error.strerror or error}); free some space, check the "
            "permissions, or choose another folder"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ExportReport(out, len(written), sum(written), tuple(left_out), (*losses, *kept.losses()))


class _Returns:
    """What becomes of returns, as other formats know the sum of the rewards only."""

    def __init__(self) -> None:
        self._unrewarded = 0
        self._other = 0

    def look(self, episode: Exchanged) -> None:
        self._unrewarded += episode.steps.rewards is None
        known = episode.episode_return
        self._other += known is not None and not math.isclose(
            known, float(episode.rewards.sum()), rel_tol=1e-9, abs_tol=1e-9
        )

    def losses(self) -> Iterator[str]:
        if self._unrewarded:
            yield f"{self._unrewarded} episodes have no rewards: zeros are written"
        if self._other:
            yield (
                f"{self._other} episodes: the return is not the sum of the rewards; only gac_ros "
                "reads it"
            )


def _embodiment(bags: Sequence[Path], left_out: list[str]) -> Embodiment:
    """That of the first bag that tells; the others are held to it when they are read."""
    for bag in bags:
        try:
            known = read_metadata(bag)
        except EpisodeError as error:
            left_out.append(str(error))
            continue
        return embodiment_from_dict(known.embodiment, origin=str(bag))
    why = f"; the first: {left_out[0]}" if left_out else ""
    raise EpisodeError(f"there is no episode to export{why}")
