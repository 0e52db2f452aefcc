"""Read a recording that `ros2 bag record`, or any other tool, has made.

Storage is sqlite3 or MCAP, whole or compressed (each file or each message), in one file or split;
`metadata.yaml` of rosbag2 versions 1 to 9 is used where there is one. Nothing in a file is trusted:
what cannot be read as it was promised is refused before a message of it is used.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from rosbags.interfaces import Connection, MessageDefinition
from rosbags.rosbag2 import Reader

from gac_ros.buffer.importing.checksums import has_checksums
from gac_ros.buffer.importing.compression import decompress_file, decompress_message
from gac_ros.buffer.importing.information import Information, read_information
from gac_ros.buffer.reader import RecordedMessage
from gac_ros.errors import EpisodeError

STORAGES = (".mcap", ".db3")
_COMPRESSED = ".zstd"
_BLOCK = 1 << 20
# Starts an SQLite journal that is in use; one that was used has zeros there.
_HOT = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


@dataclass(frozen=True)
class RecordedTopic:
    """A topic of a recording.

    Attributes:
        name: as recorded.
        types: message types; more than one where publishers did not agree.
        count: messages.
        definitions: the definitions of its type that the recording carries; empty where it carries
            none, as before rosbag2 version 7 in sqlite3.
        defined: whether all of its messages have one.
    """

    name: str
    types: tuple[str, ...]
    count: int
    definitions: tuple[MessageDefinition, ...]
    defined: bool


class Recording:
    """A recording, opened; a context manager.

    Attributes:
        path: the folder or file.
        name: of the folder or file, without its ending.
        topics: by their names.
        start: log time of the first message, nanoseconds.
        has_checksums: whether a flipped bit in a message would be noticed.
    """

    def __init__(self, path: Path) -> None:
        """Find the files; they are opened by entering the context.

        Raises:
            EpisodeError: there is no recording, or of a kind that cannot be read.
        """
        self.path = Path(path)
        self._information = read_information(self.path)
        self._files = _files(self.path, self._information)
        self.name = (self.path if self.path.is_dir() else Path(_plain(self.path))).stem
        self.topics: dict[str, RecordedTopic] = {}
        self.start = 0
        self.has_checksums = True
        self._readers: list[Reader] = []
        self._stack: ExitStack | None = None

    def __enter__(self) -> Recording:
        """Open every file and list the topics.

        Raises:
            EpisodeError: a file is damaged, cut short, or of a kind that cannot be read.
        """
        with ExitStack() as stack:
            folder: Path | None = None
            for file in self._files:
                if file.suffix == _COMPRESSED:
                    folder = folder or Path(stack.enter_context(TemporaryDirectory()))
                    file = decompress_file(file, folder)
                self._readers.append(self._open(file, stack))
                self.has_checksums &= has_checksums(file)
            self.topics = _topics(self._readers)
            self._check_promise()
            # An empty file starts at the end of time.
            self.start = min(reader.start_time for reader in self._readers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        stack, self._stack = self._stack, None
        self._readers.clear()
        if stack is not None:
            stack.close()

    def digest(self) -> str:
        """SHA-256 over the SHA-256 of each file, in order."""
        whole = hashlib.sha256()
        for file in self._files:
            part = hashlib.sha256()
            with file.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    part.update(block)
            whole.update(part.digest())
        return whole.hexdigest()

    def messages(self, topics: Collection[str]) -> Iterator[RecordedMessage]:
        """The messages of some topics in the order of their log times, across all files.

        Raises:
            EpisodeError: a file is damaged; messages from before the damage may have come already.
        """
        files = [self._messages(reader, topics) for reader in self._readers]
        yield from heapq.merge(*files, key=attrgetter("stamp"))

    def _messages(self, reader: Reader, topics: Collection[str]) -> Iterator[RecordedMessage]:
        wanted = [connection for connection in reader.connections if connection.topic in topics]
        if not wanted:
            return
        expected = sum(connection.msgcount for connection in wanted)
        found = 0
        try:
            for connection, stamp, data in reader.messages(wanted):
                found += 1
                yield RecordedMessage(
                    connection.topic, connection.msgtype, stamp, decompress_message(bytes(data))
                )
        except EpisodeError as error:
            raise EpisodeError(f"{reader.path}: {error}; restore it from a copy") from error
        # A broken file breaks in more ways than can be listed (SQL, zstd, struct, index).
        except Exception as error:
            raise _unreadable(str(reader.path), error) from error
        if found != expected:
            raise EpisodeError(
                f"{reader.path}: holds {found} messages of the {expected} that its index promises; "
                "the file is damaged, restore it from a copy"
            )

    def _open(self, file: Path, stack: ExitStack) -> Reader:
        self._check_closed(file)
        try:
            reader = stack.enter_context(Reader(file))
        except Exception as error:
            raise _unreadable(str(file), error) from error
        for connection in reader.connections:
            self._check_serialization(file, connection)
        return reader

    def _check_closed(self, file: Path) -> None:
        """Refuse a database that is not what its file alone says."""
        log, journal = (file.with_name(f"{file.name}-{end}") for end in ("wal", "journal"))
        if log.exists() and log.stat().st_size > 0:
            raise EpisodeError(
                f"{file}: its recorder has not closed it ({log.name} still holds messages); "
                "end the recording, or after a crash run: sqlite3 FILE 'PRAGMA wal_checkpoint'"
            )
        if journal.exists() and journal.read_bytes()[: len(_HOT)] == _HOT:
            raise EpisodeError(
                f"{file}: its recorder has not closed it ({journal.name} takes back half a write); "
                "end the recording, or after a crash run: sqlite3 FILE 'PRAGMA quick_check'"
            )

    def _check_serialization(self, file: Path, connection: Connection) -> None:
        found = getattr(connection.ext, "serialization_format", "cdr")
        if found != "cdr":
            raise EpisodeError(
                f"{file}: {connection.topic} is serialised as '{found}', not as ROS 2's 'cdr'; "
                "convert the recording with ros2 bag convert"
            )

    def _check_promise(self) -> None:
        """Compare with metadata.yaml, which alone knows of a file or a transaction that is gone."""
        promised = self._information.counts if self._information else {}
        for name, count in promised.items():
            found = self.topics[name].count if name in self.topics else 0
            if found != count:
                raise EpisodeError(
                    f"{self.path}: holds {found} messages of {name} where metadata.yaml promises "
                    f"{count}; if the rest is lost, describe what there is with ros2 bag reindex"
                )


def _files(path: Path, information: Information | None) -> list[Path]:
    if information is not None:
        folder = path if path.is_dir() else path.parent
        files = [folder / name for name in information.files]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise EpisodeError(
                f"{path}: metadata.yaml names {missing[0]}, which is not there; copy the whole "
                "folder, or describe what there is with ros2 bag reindex"
            )
        return files
    if path.is_dir():
        files = _storage_files(path)
        if not files:
            raise EpisodeError(f"{path}: no recording here (no *.mcap, no *.db3); check the path")
        return files
    if not path.is_file():
        raise EpisodeError(f"{path}: no such recording; check the path")
    if path.suffix == ".bag":
        raise EpisodeError(
            f"{path}: is a bag of ROS 1; convert it with rosbags-convert --src {path.name} "
            f"--dst {path.stem}"
        )
    if not _plain(path).endswith(STORAGES):
        raise EpisodeError(
            f"{path}: not a recording that is known; give a folder of ros2 bag record, or a file "
            "*.mcap or *.db3"
        )
    return [path]


def _storage_files(folder: Path) -> list[Path]:
    entries = list(folder.iterdir())
    names = {file.name for file in entries}
    found = [
        file
        for file in entries
        # A file and the same compressed, as of a compression that was interrupted, are one.
        if _plain(file).endswith(STORAGES)
        and (_plain(file) == file.name or _plain(file) not in names)
    ]
    if len({Path(_plain(file)).suffix for file in found}) > 1:
        raise EpisodeError(
            f"{folder}: holds files of sqlite3 and of MCAP, perhaps the same recording twice; give "
            "the file that is meant, or a folder for each"
        )
    # ros2 bag record numbers the parts without leading zeros.
    return sorted(
        found, key=lambda file: [(int(n or 0), t) for n, t in re.findall(r"(\d*)(\D*)", file.name)]
    )


def _plain(path: Path) -> str:
    """Name of a file without the ending of its compression."""
    return path.name.removesuffix(_COMPRESSED)


def _topics(readers: Collection[Reader]) -> dict[str, RecordedTopic]:
    by_name: dict[str, list[Connection]] = {}
    for reader in readers:
        for connection in reader.connections:
            by_name.setdefault(connection.topic, []).append(connection)
    return {
        name: RecordedTopic(
            name=name,
            types=tuple(dict.fromkeys(connection.msgtype for connection in connections)),
            count=sum(connection.msgcount for connection in connections),
            definitions=tuple(
                dict.fromkeys(
                    connection.msgdef for connection in connections if connection.msgdef.data
                )
            ),
            defined=all(connection.msgdef.data for connection in connections),
        )
        for name, connections in sorted(by_name.items())
    }


def _unreadable(path: str, error: Exception) -> EpisodeError:
    what = " ".join(str(error).split()) or type(error).__name__
    what = what.rstrip(".")
    if what == "Profile is not ros2":
        return EpisodeError(f"{path}: holds no recording of ROS 2 (its MCAP profile is another)")
    return EpisodeError(
        f"{path}: cannot be read ({what}); it is damaged, cut short or still being recorded: "
        "restore it from a copy, or try mcap recover (MCAP) or sqlite3 .recover (sqlite3) on it"
    )
