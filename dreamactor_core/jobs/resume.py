"""A long video that was stopped goes on where it was, with the same bytes in the end.

Each pass that is made is kept in a hidden folder beside the output, named by the output and by
whatever the passes depend on. The folder goes when the video is whole. One of another job of the
same output, and any that is OLD, are swept when the next job begins there.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..animate import NONE_KEPT, KeptPasses
from ..errors import InputError
from ..geometry import OVERLAP
from ..media import replacing
from ..media.replace import locked, remove, short_stem

logger = logging.getLogger(__name__)

OLD = 7 * 86_400  # seconds since its last pass
PASS_FOLDER = re.compile(r"\.(?P<name>.+)-[0-9a-f]{32}\.passes")


class PassFolder:
    """The protocol KeptPasses, in a folder that exists."""

    def __init__(self, folder: Path):
        self.folder = folder

    def find(self, index: int) -> Tensor | None:
        """As it was, but for the last bits of frames that no later pass reads: written they are the
        same."""
        path = self._path(index)
        try:
            kept = load_file(path)
            frames, last = kept["frames"].float() / 255, kept["last"]
        except (OSError, SafetensorError, KeyError):
            return None
        frames[len(frames) - len(last) :] = last
        logger.warning("pass %d: taken from a run that was stopped", index + 1)
        return frames

    def keep(self, index: int, frames: Tensor) -> None:
        """A disk that is full, or that nobody may write to, is no reason to fail."""
        pixels = (frames.clip(0, 1) * 255 + 0.5).to(torch.uint8)  # as they are written
        last = frames[-OVERLAP:].contiguous()
        with suppress(InputError, OSError), replacing(self._path(index), overwrite=True) as part:
            save_file({"frames": pixels, "last": last}, part)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.safetensors"


@contextmanager
def kept_passes(place: Path, name: str, key: str) -> Iterator[KeptPasses]:
    """Those of the job that is called `name`, in the folder `place`; key: a digest of whatever
    they depend on. They go with the end of the body, or stay if that fails. A folder that another
    process has, or that cannot be made, keeps nothing.
    """
    folder = place / f".{short_stem(name)}-{key}.passes"
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            stack.enter_context(locked(folder))
        except OSError:
            yield NONE_KEPT
            return
        try:
            yield PassFolder(folder)
        except BaseException:
            with suppress(OSError):
                folder.rmdir()  # nothing was kept
            raise
        remove(folder)


def _sweep(ours: Path) -> None:
    """What nobody will go on with."""
    called = PASS_FOLDER.fullmatch(ours.name)
    assert called is not None
    for entry in os.scandir(ours.parent):
        match = PASS_FOLDER.fullmatch(entry.name)
        if match is None or entry.name == ours.name:
            continue
        with suppress(OSError):
            stale = match["name"] == called["name"]
            if stale or time.time() - entry.stat().st_mtime > OLD:
                with locked(Path(entry.path)):
                    remove(Path(entry.path))
