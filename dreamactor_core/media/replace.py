"""Files that are whole or absent: checks before reading, and writing beside the final name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from uuid import uuid4

import av

from ..errors import InputError


def check_readable(path: str | PathLike, need: str) -> Path:
    """path as a Path, if it is a file with at least one byte that we may read."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(
                str(path), got="a folder", need=need, fix="Name one file inside the folder."
            )
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        fix = "Check the spelling, and give the full path if the file is in another folder."
        raise InputError(str(path), got="no such file", need=need, fix=fix) from None
    except OSError as error:
        fix = "Make the file readable for the user who runs this."
        got = f"'{error.strerror}' on opening it"
        raise InputError(str(path), got=got, need=need, fix=fix) from error
    if empty:
        fix = "Download or export the file again."
        raise InputError(str(path), got="an empty file (0 bytes)", need=need, fix=fix)
    return path


def check_writable(path: str | PathLike, overwrite: bool = False) -> None:
    """What replacing() would refuse, said before long work begins. Leaves nothing behind."""
    path = Path(path)
    trial = _beside(path)
    try:
        _check_target(path, overwrite)
        try:
            trial.touch()
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(path, error) from error


@contextmanager
def replacing(path: str | PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name `path` if the body succeeds.

    Whatever goes wrong, a stop by the user included, no half-written file is left and an older
    file under the name is untouched. The yielded path has the suffix of `path`.

    Raises InputError when the file exists and overwrite is False, when the folder is missing,
    and when the disk or the rights do not allow writing.
    """
    path = Path(path)
    part = _beside(path)
    try:
        _check_target(path, overwrite)
        try:
            yield part
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, av.FFmpegError) as error:
        raise _write_error(path, error) from error


def _beside(path: Path) -> Path:
    """A new hidden name in the same folder, with the same suffix."""
    return path.with_name(f".{path.stem}-{uuid4().hex[:8]}.part{path.suffix}")


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(
            str(path), got="a folder", need="a file name", fix="Add a file name to the folder."
        )
    if path.exists() and not overwrite:
        raise InputError(
            str(path),
            got="a file that exists already",
            need="a name that is free",
            fix="Choose another name, or pass --overwrite to replace it.",
        )
    if not path.parent.is_dir():
        raise InputError(
            str(path),
            got=f"no folder {path.parent}",
            need="a folder that exists",
            fix="Make the folder first, or choose another one.",
        )


def _write_error(path: Path, error: Exception) -> InputError:
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        got, need = "no space left on the disk", "room for the whole file"
        fix = "Free some space, or write to another disk."
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS):
        got, need = "no permission to write there", "a folder you may write to"
        fix = "Choose another folder, or change its rights."
    else:
        got, need = f"'{error}' while writing", "a file that can be written"
        fix = "Check the name, the disk and the size of the frames."
    return InputError(str(path), got=got, need=need, fix=fix)
