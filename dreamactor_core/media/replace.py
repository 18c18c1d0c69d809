"""Files that are whole or absent: checks before reading, and writing beside the final name."""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from os import PathLike
from pathlib import Path
from uuid import uuid4

import av

from ..errors import InputError, UnavailableError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment] # there is no such module

SWEEPS = 100  # of other jobs that a part may fall victim to
PART = re.compile(r"\..+-[0-9a-f]{8}\.part(\.[^.]*)?")  # names that _beside gives
# Parts that this process has made and not yet removed. A signal may raise KeyboardInterrupt between
# any two lines, those that clean up among them: what it leaves is removed at the exit.
unremoved: set[Path] = set()


def check_readable(path: str | PathLike, need: str) -> Path:
    """path as a Path, if it is a file with at least one byte that we may read."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(
                str(path), got="a folder", need=need, fix="Name one file inside the folder."
            )
        if path.exists() and not path.is_file():  # opening a pipe may wait for ever
            got, fix = "a pipe or a device, which is read once at most", "Write it to a file first."
            raise InputError(str(path), got=got, need=need, fix=fix)
        with path.open("rb") as file:
            empty = not file.read(1)
    except InputError:
        raise
    except ValueError as error:  # no name of a file
        raise InputError(repr(str(path)), got=str(error), need=need, fix="Rename it.") from None
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


def check_writable(path: str | PathLike, overwrite: bool = False, folder: bool = False) -> None:
    """What replacing() would refuse, said before long work begins. Leaves nothing behind."""
    path = Path(path)
    try:
        _check_target(path, overwrite, folder)
        trial = _beside(_target(path))
        try:
            trial.touch()
        finally:
            remove(trial)
    except OSError as error:
        raise _write_error(path, error) from error


@contextmanager
def replacing(
    path: str | PathLike, overwrite: bool = False, folder: bool = False
) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the name `path` if the body succeeds.

    Whatever goes wrong, a stop by the user included, no half-written file is left and an older
    file under the name is untouched; what a killed process has left in the folder is swept away
    first. The yielded path has the suffix of `path`, and is on the disk before it takes the name. A
    link is written through.

    folder: yield a new folder instead. A path that another call has yielded is written itself.

    Raises InputError when the name is taken and overwrite is False, when the folder around it is
    missing, and when the disk or the rights do not allow writing. A name that another job took in
    the meantime is not overwritten either: what was made is then kept under a name that is free.
    """
    path = Path(path)
    if PART.fullmatch(path.name) and path.exists():
        yield path  # whoever made it tells of errors, by its final name
        return
    try:
        with _held(path, overwrite, folder) as part:
            yield part
            _flush(part)
            _rename(part, _target(path), overwrite)
    except (OSError, av.FFmpegError) as error:
        raise _write_error(path, error) from error


@contextmanager
def together(
    paths: Sequence[Path], overwrite: bool = False, folders: Sequence[Path] = ()
) -> Iterator[list[Path]]:
    """replacing() for several files that belong together: they appear when all are written.

    Should the second name fail, a first one that was free before is freed again. folders: which of
    the paths are to be folders.
    """
    blamed, fresh = paths[0], []
    try:
        with ExitStack() as stack:
            parts = []
            for path in paths:
                blamed = path
                parts.append(stack.enter_context(_held(path, overwrite, path in folders)))
            blamed = paths[0]
            yield parts
            for path, part in zip(paths, parts, strict=True):
                blamed, was = path, os.path.lexists(path)
                _flush(part)
                _rename(part, _target(path), overwrite)
                fresh += [] if was else [path]
            fresh = []
    except (OSError, av.FFmpegError) as error:
        raise _write_error(blamed, error) from error
    finally:
        for one in fresh:
            remove(one)


@contextmanager
def _held(path: Path, overwrite: bool, folder: bool = False) -> Iterator[Path]:
    """A part of a path that may be written; it is removed in the end, unless it was renamed."""
    _check_target(path, overwrite, folder)
    sweep(_target(path).parent)
    part = _beside(_target(path))
    with _claimed(part, folder):
        try:
            yield part
        finally:
            remove(part)


def sweep(folder: Path) -> None:
    """Remove the parts in a folder that no process writes to any more."""
    for entry in os.scandir(folder):
        if PART.fullmatch(entry.name):
            with suppress(OSError), locked(Path(entry.path)):
                remove(Path(entry.path))


@contextmanager
def _claimed(part: Path, folder: bool) -> Iterator[None]:
    """Make the part, and hold a lock on it that ends with this process, however that ends.

    Before it is locked, the sweep of a job beside this one may take it for a killed process's.
    """
    with ExitStack() as stack:
        for tried in count(1):
            part.mkdir(exist_ok=True) if folder else part.touch()
            try:
                stack.enter_context(locked(part))
                if part.exists():
                    break  # nobody can lock it now
            except OSError:
                if tried == SWEEPS:
                    raise
                time.sleep(0.001)
        yield


@contextmanager
def locked(part: Path) -> Iterator[None]:
    """OSError when somebody else has it. On Windows an open file cannot be removed anyway."""
    if fcntl is None:
        yield
        return
    file = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
    unremoved.discard(part)


@atexit.register
def _remove_all() -> None:
    for part in list(unremoved):
        with suppress(OSError):
            remove(part)


def _flush(path: Path) -> None:
    """To the disk itself, so that no crash leaves an empty file under the final name."""
    for one in (*(path.iterdir() if path.is_dir() else ()), path):
        if os.name == "nt" and one.is_dir():
            continue
        file = os.open(one, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            with suppress(OSError):  # some network folders cannot
                os.fsync(file)
        finally:
            os.close(file)


def _rename(part: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    else:
        _take_name(part, target)
    if os.name != "nt":
        _flush_folder(target.parent)


def _take_name(part: Path, target: Path) -> None:
    """Rename, unless the name was taken since it was checked."""
    try:
        if part.is_dir() or os.name == "nt":
            if os.path.lexists(target):
                raise FileExistsError
            part.rename(target)
        else:
            os.link(part, target)  # fails where the name exists, in one step
    except FileExistsError:
        kept = next(name for name in _numbered(target) if not os.path.lexists(name))
        part.rename(kept)
        raise InputError(
            str(target),
            got="a file that another job wrote there in the meantime",
            need="a name that is free",
            fix=f"This result is kept as {kept.name}.",
        ) from None
    except OSError:  # no hard links there, as on FAT: as good as it gets
        if os.path.lexists(target):
            raise
        part.rename(target)


def _numbered(target: Path) -> Iterator[Path]:
    return (target.with_name(f"{short_stem(target.stem)}-{k}{target.suffix}") for k in count(2))


def _flush_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(file)
    finally:
        os.close(file)


def _target(path: Path) -> Path:
    """The file itself, where the name is a link to it."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _beside(path: Path) -> Path:
    """A new hidden name in the same folder, with the same suffix; removed at the exit at last."""
    part = path.with_name(f".{short_stem(path.stem)}-{uuid4().hex[:8]}.part{path.suffix}")
    unremoved.add(part)
    return part


def short_stem(stem: str) -> str:
    """So much of a name that an addition still fits: most disks allow 255 bytes."""
    return os.fsdecode(os.fsencode(stem)[:200]).encode("utf-8", "ignore").decode()


def digest_of_file(path: Path) -> str:
    """SHA-256 of its bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """The folder and those above it, where they are not there yet. Raises InputError if that cannot
    be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        above = next(place for place in (path, *path.parents) if os.path.lexists(place))
        got = str(error.strerror or error) if above.is_dir() else f"a file at {above}"
        fix = "Choose another place, or look at its rights."
        raise InputError(str(path), got=got, need="a folder", fix=fix) from error


def _check_target(path: Path, overwrite: bool, folder: bool = False) -> None:
    if path.is_dir() and not folder:
        raise InputError(
            str(path), got="a folder", need="a file name", fix="Add a file name to the folder."
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        fix = "Choose the name of a file."
        raise InputError(str(path), got="a pipe or a device", need="a file name", fix=fix)
    if path.exists() and not overwrite:
        raise InputError(
            str(path),
            got="a file that exists already",
            need="a name that is free",
            fix="Choose another name, or use {option} to replace it.",
            option="overwrite",
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
        return UnavailableError(str(path), got=got, need=need, fix=fix)
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        got, need = "no permission to write there", "a folder you may write to"
        fix = "Choose another folder, or change its rights."
    else:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        got, need = f"'{why}' while writing", "a file that can be written"
        fix = "Check the name, the disk and the size of the frames."
    return InputError(str(path), got=got, need=need, fix=fix)
