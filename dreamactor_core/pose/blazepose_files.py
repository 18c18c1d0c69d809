"""The two networks of BlazePose, out of the published package mediapipe: fetched once, when asked.

The package is not installed: pip fetches its wheel, and the two files and the licence are taken out
of it. What they must be is known by their checksums, which are the same in the wheels for every
system; so the smallest wheel, for a fixed system and Python, serves them all.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..hub import model_folder, reason
from ..media import replacing
from ..options import BLAZEPOSE
from .homes import further_homes

FILES = DETECTOR_FILE, LANDMARKER_FILE = "pose_detection.tflite", "pose_landmark_full.tflite"
WHEEL = "mediapipe==0.10.21"
SIZE = "36 MB, of which 10 MB are kept, licence Apache-2.0"
WHEEL_PAGE = "the Python Package Index, project mediapipe, version 0.10.21"
FOR = [
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
]
SUMS = {
    DETECTOR_FILE: "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    LANDMARKER_FILE: "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}
LICENCE = "LICENSE"
MAX_MEMBER_BYTES = 16 << 20  # bytes that a member may have at most
# In pip's words, of its versions 23 to 26.
BROKEN_OFF = "incomplete-download", "IncompleteRead", "Connection broken", "Read timed out"
OTHER_SUM = "DO NOT MATCH THE HASHES"
FETCH_SECONDS = 900  # seconds for the whole wheel


def blazepose_home() -> Path:
    """Where FILES are, if no other folder is named: below model_folder(), where they are put, or in
    one of further_homes."""
    usual = model_folder() / BLAZEPOSE
    return next((home for home in (usual, *further_homes) if is_home(home)), usual)


def is_home(folder: Path) -> bool:
    """Whether FILES are there."""
    return all((folder / name).is_file() for name in FILES)


def blazepose_folder(source: Path | None, download: bool) -> Path:
    """The folder that holds FILES, checked.

    source: that folder, or a wheel of mediapipe 0.10.21 that was fetched by hand; None: the folder
        `blazepose` of model_folder(). With download they are fetched into it if they are not there.
    Raises InputError that says what is missing or wrong, and what to do.
    """
    home = blazepose_home()
    if source is not None and source.is_file():
        unpack(source, home)
        return home
    folder = source or home
    if not is_home(folder):
        if not download:
            raise InputError(
                f"blazepose in {folder}",
                got="no copy on this machine",
                need=f"{DETECTOR_FILE} and {LANDMARKER_FILE} ({SIZE})",
                fix=f"Use {{option}} to fetch them, or take them out of a wheel from {WHEEL_PAGE} "
                "and put them there.",
                option="download",
            )
        fetch_wheel(folder)
    for name in FILES:
        _check_digest(name, (folder / name).read_bytes(), str(folder))
    return folder


def fetch_wheel(folder: Path) -> None:
    """Fetch the wheel from pip's package index and take FILES and the licence out of it."""
    with tempfile.TemporaryDirectory() as place:
        options = ["--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=30", "--quiet"]
        options += ["--disable-pip-version-check", *FOR, "--dest", place, WHEEL]
        try:
            subprocess.run(
                [*_pip(), "download", *options],
                check=True,
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
            )
            (wheel,) = Path(place).glob("*.whl")
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise InputError(
                f"the wheel of {WHEEL}",
                got=_failed(error),
                need=f"the whole wheel from an index that answers ({SIZE})",
                fix=f"Check the connection, or take {DETECTOR_FILE} and {LANDMARKER_FILE} out of a "
                f"wheel from {WHEEL_PAGE} and put them into {folder}.",
            ) from error
        unpack(wheel, folder)


def _failed(error: Exception) -> str:
    """What pip got, as far as it tells. Older ones notice by its checksum alone that a file is not
    whole."""
    told = getattr(error, "stderr", None) or ""
    if any(words in told for words in BROKEN_OFF):
        return "a file that was cut off on its way"
    if OTHER_SUM in told:
        return "a file that was cut off on its way, or changed: its checksum is another one"
    lines = [line.strip() for line in told.strip().splitlines()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return f"nothing from the package index ({reason(error, (errors or lines)[-1:])})"


def unpack(wheel: Path, folder: Path) -> None:
    """Take FILES and the licence out of a wheel; the folder gets all of them or none."""
    wanted = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = Path(info.filename).name
                licence = name == LICENCE and info.filename.count("/") == 1
                if (name in FILES or licence) and info.file_size <= MAX_MEMBER_BYTES:
                    wanted[name] = archive.read(info)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            str(wheel),
            got=f"a file that cannot be unpacked ({reason(error)})",
            need=f"the whole wheel of {WHEEL}",
            fix=f"Fetch it again from {WHEEL_PAGE}.",
        ) from error
    for name in FILES:
        _check_digest(name, wanted.get(name, b""), wheel.name, f"Fetch it from {WHEEL_PAGE}.")
    with suppress(OSError):  # what is wrong with the folder, replacing() says
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in wanted.items():
        with replacing(folder / name, overwrite=True) as part:
            part.write_bytes(data)


def _check_digest(
    name: str, data: bytes, where: str, fix: str = "Delete that file and fetch it anew."
) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != SUMS[name]:
        raise InputError(
            f"{name} of {where}",
            got=f"the checksum {found[:12]}..." if data else "none",
            need=f"the checksum {SUMS[name][:12]}..., that of {WHEEL}",
            fix=fix,
        )


def _pip() -> list[str]:
    """The command that runs pip, or the one that Python keeps for its own environments."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    spec = importlib.util.find_spec("ensurepip")
    home = Path(spec.origin).parent if spec and spec.origin else None
    kept = sorted(home.glob("_bundled/pip-*.whl")) if home else []
    if not kept:
        raise FileNotFoundError("this Python has no pip")
    return [sys.executable, str(kept[-1] / "pip")]
