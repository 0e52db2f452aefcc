"""Undo what `ros2 bag record --compression-mode file|message` did; its format is zstd."""

from __future__ import annotations

from pathlib import Path

import zstandard

from gac_ros.errors import EpisodeError

# Serialised ROS messages begin with 0x00, so that this cannot be one.
_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK = 1 << 20


def decompress_message(data: bytes) -> bytes:
    """The message; what is not compressed comes back as it is.

    Raises:
        EpisodeError: the data are damaged.
    """
    if not data.startswith(_MAGIC):
        return data
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    try:
        message = decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise EpisodeError(f"a compressed message is damaged ({error})") from error
    if not decompressor.eof:
        raise EpisodeError("a compressed message is cut short")
    return message


def decompress_file(path: Path, folder: Path) -> Path:
    """Decompress a file `NAME.zstd` to `folder/NAME`.

    Raises:
        EpisodeError: the file is damaged or cut short, or the folder has no room.
    """
    target = folder / path.stem
    try:
        with path.open("rb") as source, target.open("xb") as sink:
            decompressor = zstandard.ZstdDecompressor().decompressobj()
            whole = False
            while block := source.read(_BLOCK):
                if whole:  # another frame follows
                    decompressor = zstandard.ZstdDecompressor().decompressobj()
                sink.write(decompressor.decompress(block))
                whole = decompressor.eof
                while whole and (rest := decompressor.unused_data):
                    decompressor = zstandard.ZstdDecompressor().decompressobj()
                    sink.write(decompressor.decompress(rest))
                    whole = decompressor.eof
    except zstandard.ZstdError as error:
        raise EpisodeError(f"{path}: is damaged ({error}); restore it from a copy") from error
    except OSError as error:
        raise EpisodeError(
            f"{path}: cannot be decompressed to {folder} ({error.strerror}); free some space or "
            "set TMPDIR to a folder that has some"
        ) from error
    if not whole:
        raise EpisodeError(f"{path}: is cut short; restore it from a copy")
    return target
