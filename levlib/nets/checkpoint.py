"""The state of a run on disk: one .npz without pickles, replaced in one step, and bound to the run
that wrote it."""

import hashlib
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from levlib.checks import as_path


class Checkpoint:
    """The file of one run, known by a hash of its start, data and settings: no other run goes on
    from it."""

    def __init__(self, path, every: float, tensors: list[Tensor], settings: list):
        self.path, self.every, self.written = (
            Path(as_path(path, "checkpoint")),
            every,
            time.monotonic(),
        )
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise ValueError(
                f"checkpoint must name a file in a folder that exists, got {str(path)!r}"
            )
        digest = hashlib.sha256(json.dumps(settings).encode())
        for value in tensors:
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().data.cast("B"))
        self.key = digest.hexdigest()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.written >= self.every

    def save(self, arrays: dict[str, Tensor], state: dict) -> None:
        """Write tensors and numbers; a crash at any moment leaves the old file or the new one."""
        partial = self.path.with_name(self.path.name + ".part")
        with open(partial, "wb") as file:
            plain = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
            np.savez(file, **plain, state=json.dumps({**state, "key": self.key}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)
        self.written = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Return what `save` wrote, or None where there is no file; ValueError for another run's
        file."""
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {
                    name: torch.as_tensor(file[name]) for name in file.files if name != "state"
                }
                state = json.loads(str(file["state"]))
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{self.path} is no checkpoint of levlib: remove it, or name another file"
            ) from error
        if state.pop("key") != self.key:
            raise ValueError(
                f"{self.path} belongs to another run: its start, data or settings differ. Begin "
                "with the same net "
                "(same seed), or name another file"
            )
        return arrays, state
