"""Record episodes without ever holding up the controller.

The controller hands messages over and goes on; one worker thread owns the files, and another has
them synced, as that can take long. Whatever goes wrong with the disk is told by `failure` at once
and by the futures of `begin` and `commit`, never to the control loop.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import OutputError

SYNC_PERIOD = 0.1  # seconds; with the time that a flush and a sync take, at most 0.2 s are lost
MIN_FREE = 256 * 2**20  # bytes: room for what follows the end of an episode, and for the system
LOOK_PERIOD = 0.5  # seconds between two looks at the disk's room and at how the last sync went

MetadataSource = EpisodeMetadata | Callable[[], EpisodeMetadata]


@dataclass(frozen=True)
class _Begin:
    directory: Path
    episode_id: str
    topics: Mapping[str, str]
    draft: EpisodeMetadata | None
    done: Future[None]


@dataclass(frozen=True)
class _Message:
    topic: str
    data: bytes
    stamp: int
    lost: int  # messages of the episode that were dropped before this one


@dataclass(frozen=True)
class _Commit:
    metadata: MetadataSource
    dropped: int
    done: Future[Path]


class _Discard:
    """Throw the episode away."""


class _Close:
    """End the thread."""


_Job = _Begin | _Message | _Commit | _Discard | _Close


class EpisodeRecorder:
    """The threaded front of `EpisodeWriter`, a fresh writer for each episode.

    All methods return at once, except `close`. They may be called from several threads; messages
    are written in the order of the calls.

    Args:
        capacity: messages that may wait for the disk; beyond it they are dropped and counted.
        sync_period: seconds after which a message is on its way to the disk at the latest; 0
            leaves it to the size of the chunks.
        min_free: bytes of the disk that stay free; below, `low_space` says so, and no episode
            begins.
    """

    def __init__(
        self,
        *,
        capacity: int = 20_000,
        sync_period: float = SYNC_PERIOD,
        min_free: int = MIN_FREE,
    ) -> None:
        self._capacity = capacity
        self._sync_period = sync_period
        self._min_free = min_free
        # Unbounded by itself: its `put` takes no lock that the worker could hold while it writes.
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()  # guards the two below; never held over a file operation
        self._dropped = 0
        self._closed = False
        self._writer: EpisodeWriter | None = None  # the worker's own
        # Only the worker writes what follows.
        self._error: Exception | None = None  # the first one of the episode
        self._discarded = 0  # messages of the episode that came after it
        self._due: float | None = None  # when to flush, monotonic seconds
        self._look: float | None = None  # when to look at the disk, monotonic seconds
        self._written = 0  # messages of the episode
        self._sync: Future[None] | None = None  # the newest
        self._syncs = ThreadPoolExecutor(max_workers=1, thread_name_prefix="episode-sync")
        self._low_space = ""
        self._thread = threading.Thread(target=self._run, name="episode-recorder", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Messages of the current episode that are lost: the queue was full, or the disk failed."""
        return self._dropped + self._discarded

    @property
    def failure(self) -> str:
        """Why the current episode is not recorded any further; empty while it is.

        Its `commit` will report the same.
        """
        error = self._error
        return "" if error is None else str(error) or type(error).__name__

    @property
    def low_space(self) -> str:
        """Why the episode should end: the disk is filling up; empty while there is room.

        What follows is still recorded as long as the disk has room for it.
        """
        return self._low_space

    def begin(
        self,
        directory: Path,
        episode_id: str,
        topics: Mapping[str, str],
        draft: EpisodeMetadata | None = None,
    ) -> Future[None]:
        """Start an episode; arguments as for `EpisodeWriter`.

        An episode that was neither committed nor discarded stays under `.recording`.

        Returns:
            Done when the bag is open, or holds the error; `commit` will report it as well.
        """
        done: Future[None] = Future()
        with self._lock:
            self._dropped = 0
            self._low_space = ""
            if self._closed:
                done.set_exception(_closed())
                return done
            self._queue.put(_Begin(Path(directory), episode_id, dict(topics), draft, done))
        return done

    def write(self, topic: str, data: bytes, stamp: int) -> None:
        """Append a message; never blocks and never raises.

        Args:
            topic: one of the topics given to `begin`.
            data: CDR bytes.
            stamp: log time in nanoseconds.
        """
        if self._closed or self._queue.qsize() >= self._capacity:
            with self._lock:
                self._dropped += 1
            return
        self._queue.put(_Message(topic, data, stamp, self._dropped))

    def commit(self, metadata: MetadataSource) -> Future[Path]:
        """Complete the episode after everything written so far.

        Args:
            metadata: the episode's metadata, or a function that makes it, called on the worker
                thread. `dropped_messages` is filled in here.

        Returns:
            The bag's directory, or the first error since `begin`. After an error what was written
            stays under `.recording`.
        """
        done: Future[Path] = Future()
        with self._lock:
            if self._closed:
                done.set_exception(_closed())
                return done
            self._queue.put(_Commit(metadata, self._dropped, done))
        return done

    def discard(self) -> None:
        """Delete the current episode, after everything written so far."""
        with self._lock:
            if not self._closed:
                self._queue.put(_Discard())

    def close(self) -> None:
        """Write out everything queued and end the thread; an open episode stays unfinished."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(_Close())
        self._thread.join()
        self._syncs.shutdown()

    def __enter__(self) -> EpisodeRecorder:
        """Nothing to do: the thread runs since construction."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=self._patience())
            except Empty:
                pass
            else:
                if isinstance(job, _Close):
                    self._end(keep=True)
                    return
                self._do(job)
            self._keep_schedule()

    def _do(self, job: _Begin | _Message | _Commit | _Discard) -> None:
        if isinstance(job, _Message):
            self._write(job)
        elif isinstance(job, _Begin):
            self._begin(job)
        elif isinstance(job, _Commit):
            self._commit(job)
        else:
            self._end(keep=False)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without a job; None: never."""
        times = [when for when in (self._due, self._look) if when is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _keep_schedule(self) -> None:
        now = time.monotonic()
        if self._due is not None and now >= self._due:
            self._flush()
        if self._look is not None and now >= self._look:
            self._look_at_disk()

    # Each job catches every error: the thread must outlive a full disk as well as a defect, or
    # the episodes after it would be lost without a word.

    def _begin(self, job: _Begin) -> None:
        self._end(keep=True)
        self._discarded, self._low_space = 0, ""
        try:
            self._writer = EpisodeWriter(job.directory, job.episode_id, job.topics, draft=job.draft)
            self._refuse_low_space()
        except Exception as error:
            self._end(keep=False)
            self._error = error
            job.done.set_exception(error)
        else:
            self._look = time.monotonic() + LOOK_PERIOD
            self._flush()
            job.done.set_result(None)

    def _write(self, job: _Message) -> None:
        if self._error is not None:
            self._discarded += 1
            return
        if self._writer is None:
            return
        try:
            self._writer.write(job.topic, job.data, job.stamp, self._written + job.lost)
        except Exception as error:
            self._fail(error)
            self._discarded += 1
        else:
            self._written += 1
            if self._due is None and self._sync_period > 0.0:
                self._due = time.monotonic() + self._sync_period

    def _fail(self, error: Exception) -> None:
        """Record nothing more of the episode."""
        self._error = error
        self._due = self._look = None

    def _flush(self) -> None:
        """Put what was written out of reach of this process's end, and have it synced."""
        self._due = None
        if self._writer is None or self._sync_period <= 0.0:
            return
        try:
            self._writer.flush()
            if self._sync is None or self._sync.done():
                self._check_sync()
                self._sync = self._syncs.submit(self._writer.sync)
            else:
                # The disk is slow; it gets the rest when it is done with what it has.
                self._due = time.monotonic() + self._sync_period
        except Exception as error:
            self._fail(error)

    def _look_at_disk(self) -> None:
        """See whether it is filling up, and whether it has failed; the episode's end may be far."""
        self._look = time.monotonic() + LOOK_PERIOD
        try:
            self._low_space = self._low_space or self._judge_space()
            self._check_sync()
        except Exception as error:
            self._fail(error)

    def _check_sync(self) -> None:
        """Raise what went wrong with the newest sync, if it has ended."""
        if self._sync is not None and self._sync.done():
            self._sync.result()

    def _judge_space(self) -> str:
        """Why there is too little room on the disk; empty when there is enough."""
        assert self._writer is not None
        free = shutil.disk_usage(self._writer.path).free
        if free >= self._min_free:
            return ""
        return (
            f"{self._writer.path}: the disk has {free / 2**20:.0f} MiB left, less than the "
            f"{self._min_free / 2**20:.0f} that are to stay free; free some space"
        )

    def _refuse_low_space(self) -> None:
        problem = self._judge_space()
        if problem:
            raise OutputError(problem)

    def _commit(self, job: _Commit) -> None:
        try:
            bag = self._committed(job)
        except Exception as error:
            self._end(keep=True)  # before the caller hears of it and looks at the files
            job.done.set_exception(error)
        else:
            self._end(keep=True)
            job.done.set_result(bag)

    def _committed(self, job: _Commit) -> Path:
        if self._error is not None:
            raise self._error
        if self._writer is None:
            raise OutputError("no episode is being recorded; begin one first")
        metadata = job.metadata if isinstance(job.metadata, EpisodeMetadata) else job.metadata()
        failed = self._await_sync()
        if failed is not None:
            raise failed  # the system tells it once: the sync of the commit could succeed
        dropped = metadata.dropped_messages + job.dropped
        return self._writer.commit(metadata.model_copy(update={"dropped_messages": dropped}))

    def _end(self, *, keep: bool) -> None:
        self._await_sync()
        writer, self._writer, self._error = self._writer, None, None
        self._due, self._look, self._written = None, None, 0
        if writer is not None:
            with suppress(Exception):
                writer.close() if keep else writer.discard()

    def _await_sync(self) -> BaseException | None:
        """A file must not be closed while it is synced; returns what went wrong with it."""
        sync, self._sync = self._sync, None
        return None if sync is None else sync.exception()


def _closed() -> OutputError:
    return OutputError("the recorder is closed; make a new one")
