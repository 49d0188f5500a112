"""One way to write a file: whole or not at all."""

import os
import tempfile
from pathlib import Path


def write(path, data: bytes | str) -> Path:
    """Write a file in one step: an interruption leaves the old file, or none, never a part of one.

    Text is written as UTF-8; the folder must exist. Raises OSError where it cannot be written.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    return path
