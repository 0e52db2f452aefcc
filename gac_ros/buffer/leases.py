"""Who needs which episodes, so that retention leaves them alone.

A training run writes a lease, `.leases/<name>.json`, into every buffer directory it learns from and
keeps its lock until it ends. A run that ends takes its leases along. Those of a run that was cut
off stay, as it will be resumed, and hold for some days more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gac_ros.buffer.locks import is_locked, try_lock
from gac_ros.errors import EpisodeError

FOLDER = ".leases"
GRACE = 7 * 86400.0  # seconds for which a run that was cut off keeps its hold


@dataclass(frozen=True)
class Hold:
    """A run's hold on an episode.

    Attributes:
        run: folder of the run.
        running: whether it is at work now.
    """

    run: str
    running: bool


@contextmanager
def hold(bags: Iterable[Path], run: Path) -> Iterator[None]:
    """Keep bags from being deleted while a run goes on, and after it if it is cut off.

    A bag that is reached by a link is held where the link lies and where the bag does. A directory
    that cannot be written gets no lease, and a line on stderr: whoever may delete there must be
    told otherwise.

    Args:
        bags: of any buffer directories.
        run: folder of the run; leases that it left when it was cut off are replaced.

    Raises:
        EpisodeError: a bag was removed before it could be held.
    """
    by_folder = _by_folder(bags)
    owner = str(Path(run).absolute())
    with ExitStack() as stack:
        leases: list[Path] = []
        for directory, names in by_folder.items():
            try:
                leases.append(_take(stack, directory, owner, {"bags": sorted(names)}))
            except OSError as error:
                print(
                    f"gac: warning: {directory}: cannot be written ({error.strerror}), so "
                    f"{len(names)} of its episodes are not held: have nobody prune it meanwhile",
                    file=sys.stderr,
                )
        for directory, names in by_folder.items():
            for name in names:
                if not (directory / name).exists():
                    raise EpisodeError(f"{directory / name}: was removed meanwhile; start again")
        yield
        for lease in leases:
            with suppress(OSError):
                lease.unlink()


def _by_folder(bags: Iterable[Path]) -> dict[Path, set[str]]:
    """Names of bags by the folders that they, or links to them, lie in."""
    found: dict[Path, set[str]] = {}
    for bag in bags:
        link = Path(bag).absolute()
        for place in (link.parent.resolve() / link.name, link.resolve()):
            found.setdefault(place.parent, set()).add(place.name)
    return found


class HoldOnTheRest:
    """A run's hold on every bag of a folder but some, those that are still to come included.

    It stays, for some days, when the process ends without releasing it.

    Args:
        directory: the buffer directory.
        run: folder of the run.
    """

    def __init__(self, directory: Path, run: Path) -> None:
        self._directory = directory
        self._run = str(Path(run).absolute())
        self._stack: ExitStack | None = None
        self._lease: Path | None = None

    def renew(self, all_but: Iterable[str]) -> None:
        """Hold all bags but those of these names, from now on.

        Raises:
            OSError: the directory cannot be written.
        """
        with ExitStack() as stack:
            content = {"all_but": sorted(all_but)}
            self._lease = _take(stack, self._directory, self._run, content, kind="rest")
            kept = stack.pop_all()
        if self._stack is not None:
            self._stack.close()
        self._stack = kept

    def release(self) -> None:
        """Hold nothing any more."""
        if self._lease is not None and self._stack is not None:
            with suppress(OSError):
                self._lease.unlink()
            self._stack.close()
            self._lease = self._stack = None


def held_bags(directory: Path, now: float | None = None) -> dict[str, Hold]:
    """Names of the bags that a run needs, with the run.

    Args:
        directory: the buffer directory.
        now: seconds since the epoch.
    """
    now = time.time() if now is None else now
    held: dict[str, Hold] = {}
    for lease in sorted((directory / FOLDER).glob("*.json")):
        running = is_locked(lease)
        try:
            if running:
                os.utime(lease)  # the days after it begin when it was last seen at work
            content = json.loads(lease.read_bytes())
            if not running and _last_at_work(lease, str(content["run"])) < now - GRACE:
                continue
            bags = content["bags"] if "bags" in content else _others(directory, content["all_but"])
            found = {str(name): Hold(str(content["run"]), running) for name in bags}
        except (OSError, ValueError, TypeError, KeyError):
            continue  # gone meanwhile, or no lease
        held |= {name: each for name, each in found.items() if name not in held or running}
    return held


def _last_at_work(lease: Path, run: str) -> float:
    """When a run was last seen by a prune, or saved something, in seconds since the epoch."""
    times = [lease.stat().st_mtime]
    with suppress(OSError):  # moved, or on another machine
        times.append(Path(run).stat().st_mtime)
    return max(times)


@contextmanager
def holders_kept_out(directory: Path, *, wait: bool) -> Iterator[bool]:
    """Have no lease taken, and nothing deleted by others, for a while.

    Args:
        directory: the buffer directory.
        wait: whether to wait for others that do the same.

    Yields:
        Whether it is so; False when others do the same and we do not wait.

    Raises:
        OSError: the directory cannot be written.
    """
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if wait:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield wait or try_lock(descriptor)
    finally:
        os.close(descriptor)


def _others(directory: Path, names: Sequence[str]) -> set[str]:
    present = {entry.name for entry in directory.iterdir() if not entry.name.startswith(".")}
    return present - set(names)


def _take(
    stack: ExitStack, directory: Path, owner: str, content: dict[str, list[str]], kind: str = ""
) -> Path:
    """Write a lease and keep its lock; a run may have one of each kind in a folder."""
    folder = directory / FOLDER
    stem = hashlib.sha256((owner + kind).encode()).hexdigest()[:16]
    lease = folder / f"{stem}-{os.getpid()}.json"
    with holders_kept_out(directory, wait=True):
        making = lease.with_suffix(".new")
        stream: IO[bytes] = making.open("wb")
        try:
            # Locked before it can be seen; the lock is the file's, whatever its name.
            try_lock(stream)
            stream.write(json.dumps({"run": owner, **content}).encode())
            stream.flush()
            for old in folder.glob(f"{stem}-*.json"):
                if not is_locked(old):
                    old.unlink()
            making.rename(lease)
        except BaseException:
            stream.close()
            raise
        stack.enter_context(stream)
    return lease
