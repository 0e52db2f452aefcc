"""Write one episode into a rosbag2 MCAP bag that appears only when it is complete.

A bag is written in `<directory>/.recording/<episode_id>/` and renamed to
`<directory>/<episode_id>/` once every byte is on the disk. Whoever lists the directory therefore
sees complete episodes only, whatever happened to the process or the machine in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from gac_ros import __version__
from gac_ros.buffer.locks import is_locked, take_lock
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import ConfigurationError, OutputError
from gac_ros.files import sync_directory
from gac_ros.messages import typestore

RECORDING = ".recording"
METADATA_FILE = "metadata.yaml"
METADATA_KEY = "gac.metadata"
METADATA_DIGEST_KEY = "gac.metadata_sha256"
MCAP_DIGEST_KEY = "gac.mcap_sha256"
# An MCAP metadata record of this name starts the file and, with what is known then, ends it: what
# can be read of a broken bag explains itself.
MCAP_RECORD = "gac.episode"
CHANNELS_KEY = "channels"
MESSAGES_KEY = "messages"
RECORD_DIGEST_KEY = "sha256"

# A crash, or a bit that flips on the disk, costs at most one chunk (about 15 steps of a small
# robot; `flush` ends one early). Some 200 bytes of heads and indexes a chunk are 1 % of it.
CHUNK_SIZE = 16 * 1024
_BLOCK = 1 << 20
_ROS_DISTRO = "jazzy"
# rosbag2's own value for the start of a bag without messages.
_NO_TIME = 2**63 - 1


class EpisodeWriter:
    """Writes the messages of one episode; not thread-safe.

    End it with `commit`, `discard` or `close`. After an error nothing more can be written; what
    was written stays under `.recording`.

    Attributes:
        path: where the bag is while it is written.
    """

    def __init__(
        self,
        directory: Path,
        episode_id: str,
        topics: Mapping[str, str],
        *,
        draft: EpisodeMetadata | None = None,
    ) -> None:
        """Create the bag.

        Args:
            directory: the buffer directory; it is created when missing.
            episode_id: name of the bag; no such episode may exist yet.
            topics: bag topic to message type, such as `{"/odom": "nav_msgs/msg/Odometry"}`.
            draft: what is known of the episode before it begins; without it, a recording that is
                cut off can only be recovered by someone who knows its robot.

        Raises:
            OutputError: the directory cannot be written, or the episode exists already.
            ConfigurationError: a message type is unknown.
        """
        if not episode_id or episode_id.startswith(".") or "/" in episode_id:
            raise OutputError(
                f"'{episode_id}' cannot name an episode; use letters, digits, '-', '_' and '.'"
            )
        self._target = Path(directory) / episode_id
        self.path = Path(directory) / RECORDING / episode_id
        self._mcap = self.path / f"{episode_id}_0.mcap"
        self._types = dict(topics)
        # Before anything is created, so that a wrong type leaves no trace.
        definitions = {kind: _definition(kind) for kind in self._types.values()}
        self._counts = dict.fromkeys(self._types, 0)
        self._sequence = 0  # of the next message
        self._entered = False  # whether the disk knows the bag's folder
        self._first = _NO_TIME
        self._last = -1
        self._failure: OutputError | None = None
        if self._target.exists():
            raise _exists(self._target)
        try:
            self.path.mkdir(parents=True)
            self._stream = self._mcap.open("xb")
        except FileExistsError as error:
            raise OutputError(
                f"{self.path}: cannot be created, it is there already or a parent is a file; "
                "another recording uses this name or a crashed one left it: move it away"
            ) from error
        except OSError as error:
            raise _unwritable(self.path, error) from error
        take_lock(self._stream)
        try:
            self._start(definitions, draft)
        except OSError as error:
            raise self._failed(error) from error

    def _start(
        self, definitions: Mapping[str, tuple[str, str]], draft: EpisodeMetadata | None
    ) -> None:
        # Without compression a chunk is readable by any tool, and a robot's disk is the cheaper
        # resource than its processor.
        self._writer = Writer(
            self._stream,
            chunk_size=CHUNK_SIZE,
            compression=CompressionType.NONE,
            enable_data_crcs=True,
        )
        self._writer.start(profile="ros2", library=f"gac_ros {__version__}")
        schemas = {
            kind: self._writer.register_schema(kind, "ros2msg", text.encode())
            for kind, (text, _) in definitions.items()
        }
        self._channels = {
            topic: self._writer.register_channel(
                topic,
                "cdr",
                schemas[kind],
                # What was offered is the publishers' affair and unknown here: an empty list.
                {"offered_qos_profiles": "[]", "topic_type_hash": definitions[kind][1]},
            )
            for topic, kind in self._types.items()
        }
        self._describe(draft, ended=False)
        self._stream.flush()

    def write(self, topic: str, data: bytes, stamp: int, sequence: int | None = None) -> None:
        """Append a message.

        Args:
            topic: one of the bag's topics.
            data: its CDR bytes.
            stamp: log time in nanoseconds. Log times are made strictly increasing: a message that
                is not later than the one before gets the next nanosecond, so that sorting by time
                gives back the order of the calls.
            sequence: number of the message in the episode from 0 on, the lost ones counted, so
                that readers see where some are missing; None: nothing was lost since the last.

        Raises:
            OutputError: the disk is full or fails, or the writer has ended.
        """
        self._refuse_if_ended()
        channel = self._channels.get(topic)
        if channel is None:
            raise OutputError(
                f"{self.path}: topic '{topic}' was not announced; the bag has "
                f"{', '.join(self._channels) or 'no topics'}"
            )
        stamp = max(int(stamp), self._last + 1)
        try:
            self._writer.add_message(
                channel,
                log_time=stamp,
                data=data,
                publish_time=stamp,
                sequence=self._sequence if sequence is None else sequence,
            )
            # A finished chunk must not linger in this process, where a crash would take it.
            self._stream.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._first = min(self._first, stamp)
        self._last = stamp
        self._sequence = 1 + (self._sequence if sequence is None else sequence)
        self._counts[topic] += 1

    def flush(self) -> None:
        """Hand every message to the system: from now on the end of this process cannot lose it.

        Raises:
            OutputError: the disk is full or fails, or the writer has ended.
        """
        self._refuse_if_ended()
        try:
            self._writer.flush()
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """Have the disk keep what was flushed, through a power cut as well.

        May be called from another thread than the others; `commit`, `discard` and `close` must
        wait for it.

        Raises:
            OutputError: the disk fails.
        """
        try:
            os.fsync(self._stream.fileno())
            if not self._entered:
                # A file is lost, however well synced, if its folder does not know it.
                for folder in (self.path, *self.path.parents[:2]):
                    sync_directory(folder)
                self._entered = True
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def commit(self, metadata: EpisodeMetadata) -> Path:
        """Finish the bag, sync it to the disk and make it visible.

        Returns:
            The bag's directory.

        Raises:
            OutputError: the disk is full or fails, or an episode of that name has appeared.
        """
        self._refuse_if_ended()
        information = self._information()
        try:
            self._finish_mcap(information, metadata)
            content = _with_custom_data(information, metadata, _file_digest(self._mcap))
            _write_synced(self.path / METADATA_FILE, _dump(content))
            sync_directory(self.path)
            if self._target.exists():
                raise _exists(self._target)
            self.path.rename(self._target)
            sync_directory(self._target.parent)
        except OSError as error:
            raise self._failed(error) from error
        except OutputError as error:
            self._failure = error
            raise
        self._failure = OutputError(f"{self._target}: the episode is complete already")
        return self._target

    def discard(self) -> None:
        """Delete what was written; does nothing after `commit`."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Stop writing without a commit; what was written stays under `.recording`."""
        if not self._stream.closed:
            with suppress(OSError):
                self._writer.finish()
            with suppress(OSError):
                self._stream.close()
        self._failure = self._failure or OutputError(f"{self.path}: the recording was closed")

    def _describe(self, metadata: EpisodeMetadata | None, *, ended: bool) -> None:
        """Add a record of what is known; its digest vouches for it, as no CRC covers it."""
        channels = {number: [topic, self._types[topic]] for topic, number in self._channels.items()}
        content = {CHANNELS_KEY: json.dumps(channels)}
        if metadata is not None:
            content[METADATA_KEY] = json.dumps(metadata.model_dump(mode="json"))
        if ended:
            content[MESSAGES_KEY] = str(sum(self._counts.values()))
        content[RECORD_DIGEST_KEY] = record_digest(content)
        self._writer.add_metadata(MCAP_RECORD, content)

    def _finish_mcap(self, information: Mapping[str, Any], metadata: EpisodeMetadata) -> None:
        self._writer.flush()  # metadata must not come before the messages of an open chunk
        self._describe(metadata, ended=True)
        serialized = {"ROS_DISTRO": _ROS_DISTRO, "serialized_metadata": _dump(information)}
        self._writer.add_metadata("rosbag2", serialized)
        self._writer.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def _information(self) -> dict[str, Any]:
        """The bag's `rosbag2_bagfile_information`, version 9, as rosbag2 of Jazzy writes it."""
        return {
            "version": 9,
            "storage_identifier": "mcap",
            "relative_file_paths": [self._mcap.name],
            **self._span(),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic,
                        "type": kind,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": [],
                        "type_description_hash": _definition(kind)[1],
                    },
                    "message_count": self._counts[topic],
                }
                for topic, kind in self._types.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": self._mcap.name, **self._span()}],
            "custom_data": None,
            "ros_distro": _ROS_DISTRO,
        }

    def _span(self) -> dict[str, Any]:
        return {
            "starting_time": {"nanoseconds_since_epoch": self._first},
            "duration": {"nanoseconds": max(0, self._last - self._first)},
            "message_count": sum(self._counts.values()),
        }

    def _refuse_if_ended(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _failed(self, error: OSError) -> OutputError:
        """Keep the failure and give up the stream without writing to it again."""
        self._failure = _unwritable(self.path, error)
        with suppress(OSError):
            self._stream.close()
        return self._failure


def check_writable(directory: Path) -> None:
    """Create the buffer directory and try whether episodes can be written there.

    Raises:
        OutputError: they cannot.
    """
    recording = Path(directory) / RECORDING
    probe = recording / f".probe-{os.getpid()}"
    try:
        recording.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"\0")
        probe.unlink()
    except OSError as error:
        raise _unwritable(Path(directory), error) from error


def discard_unfinished(directory: Path, episode_id: str) -> None:
    """Delete what a recording that was cut off has left, so that it can be repeated.

    Raises:
        OutputError: the recording is going on.
    """
    path = Path(directory) / RECORDING / episode_id
    for recording in path.glob("*.mcap"):
        if is_locked(recording):
            raise OutputError(f"{path}: is being written by another process; wait for it")
    shutil.rmtree(path, ignore_errors=True)


def replace_metadata(bag: Path, metadata: EpisodeMetadata) -> None:
    """Say other things of a complete episode; its messages stay as they are.

    The new `metadata.yaml` takes the old one's place at once: readers see one or the other. The
    caller keeps other writers away.

    Raises:
        OutputError: it cannot be written.
    """
    file = Path(bag) / METADATA_FILE
    draft = file.with_name(f".{METADATA_FILE}")
    try:
        content = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        information = content["rosbag2_bagfile_information"]
        digest = information["custom_data"][MCAP_DIGEST_KEY]
        draft.unlink(missing_ok=True)  # of a process that was killed
        try:
            _write_synced(draft, _dump(_with_custom_data(information, metadata, digest)))
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(file.parent)
    except OSError as error:
        raise _unwritable(file, error) from error


@lru_cache(maxsize=64)
def _definition(kind: str) -> tuple[str, str]:
    """Message definition text and type hash of a message type."""
    if kind not in typestore().fielddefs:
        raise ConfigurationError(
            f"unknown message type '{kind}'; use a type of ROS 2 Jazzy's common interfaces"
        )
    text, _ = typestore().generate_msgdef(kind, ros_version=2)
    return text, typestore().hash_rihs01(kind)


def record_digest(content: Mapping[str, str]) -> str:
    """SHA-256 of an MCAP metadata record's content but for the digest itself."""
    known = {key: value for key, value in content.items() if key != RECORD_DIGEST_KEY}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _with_custom_data(
    information: Mapping[str, Any], metadata: EpisodeMetadata, mcap_digest: str
) -> dict[str, Any]:
    """The whole content of metadata.yaml.

    The digests tie the metadata, the YAML file and the MCAP file together: CRCs alone guard the
    messages, not the return.
    """
    text = json.dumps(metadata.model_dump(mode="json"))
    custom = {
        METADATA_KEY: text,
        METADATA_DIGEST_KEY: hashlib.sha256(text.encode()).hexdigest(),
        MCAP_DIGEST_KEY: mcap_digest,
    }
    return {"rosbag2_bagfile_information": {**information, "custom_data": custom}}


def _dump(content: Mapping[str, Any]) -> str:
    # No line breaks inside a value: some YAML readers fold them differently.
    return yaml.dump(
        content,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        width=2**31 - 1,
        default_flow_style=False,
    )


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _write_synced(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path}: the episode exists already; choose another folder or episode id")


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"{path}: cannot be written ({reason}); free some space, check the permissions, or choose "
        "another folder"
    )
