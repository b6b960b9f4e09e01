"""The text of a file that a person wrote."""

from __future__ import annotations

from pathlib import Path

from omakase.core.errors import InvalidConfig


def read_text(path: Path, most: int = -1) -> str:
    """The text of a file, or of its first `most` bytes.

    Raises: InvalidConfig if there is none, or what is there is no text; names the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most)
    except OSError as error:
        raise InvalidConfig([f"{path}: cannot be read: {error.strerror}"]) from None
    except ValueError:
        raise InvalidConfig([f"{str(path)!r} is not a path"]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidConfig([f"{path}:{line}: is not UTF-8 text"]) from None
