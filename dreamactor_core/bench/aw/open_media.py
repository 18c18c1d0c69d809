"""The real part of the open set: free clips and pictures out of a folder with a manifest.json,
as open_media.json says what is in them.

What its terms allow to hand on lies in media/, some of it cut. The rest is copied to fetched/ and
has an address: leave that folder out when you hand the set on, and `aw fetch` fills it again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ...errors import InputError
from ...media import probe, read_frames, video_stream
from ...media.replace import check_readable, replacing
from .cases import MEDIA_FOLDER, AwDriver, AwReference, inside, sha256_of
from .pairing import TaggedDriver, TaggedReference

FETCHED_FOLDER = "fetched"
TAGS_OF_MEDIA = Path(__file__).parent / "open_media.json"
NO_CONDITION = "A"  # basis of a manifest's entry: terms name the file itself or its collection
SPDX = {"CC0": "CC0-1.0", "PD": "public domain"}  # the manifest's short names


class RealMedia(NamedTuple):
    drivers: list[TaggedDriver]
    references: list[TaggedReference]
    credits: list[dict[str, Any]]  # a line a file, for manifest.json and LICENSES.md
    lacking: list[str]  # files that the folder has not, or has otherwise


def place_media(folder: Path, out: Path) -> RealMedia:
    """Put what open_media.json names into a set. folder: with manifest.json, image/ and video/.

    Raises InputError for a folder without a manifest.
    """
    entries = {str(entry.get("file")): entry for entry in _manifest(folder)}
    tags = json.loads(TAGS_OF_MEDIA.read_text(encoding="utf-8"))
    made = RealMedia([], [], [], [])
    for tag in (*tags["drivers"], *tags["references"]):
        entry = entries.get(tag["file"])
        source = inside(folder, tag["file"], "manifest.json")
        if entry is None or not source.is_file() or sha256_of(source) != entry.get("sha256"):
            made.lacking.append(tag["file"])
            continue
        file, credit = _placed(source, entry, tag.get("cut"), out)
        told = {
            "file": file,
            "sha256": credit["sha256"],
            "kind": tag["kind"],
            "subjects": tag["subjects"],
            "license": credit["license"],
            "source": credit["source"],
            "address": credit.get("address"),
        }
        made.credits.append(credit)
        if "camera" in tag:
            more = {name: tag[name] for name in ("region", "age", "activity", "camera")}
            made.drivers.append(TaggedDriver(AwDriver(**told, **more), tuple(tag.get("also", ()))))
        else:
            made.references.append(TaggedReference(AwReference(**told), tag["shows"]))
    return made


def _manifest(folder: Path) -> list[dict[str, Any]]:
    path = check_readable(folder / "manifest.json", "the list of the media, with their licences")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [dict(entry) for entry in entries]
    except (ValueError, TypeError, RecursionError) as error:
        need = "a list of files with licences"
        raise InputError(str(path), got="broken JSON", need=need, fix="Correct it.") from error


def _placed(
    source: Path, entry: dict[str, Any], cut: float | None, out: Path
) -> tuple[str, dict[str, Any]]:
    """(file below the set, its line of credits)."""
    handed_on = entry.get("basis") == NO_CONDITION
    licence = str(entry.get("licence"))
    place = f"{entry.get('repository')}, {entry.get('path')}, {str(entry.get('commit'))[:12]}"
    credit = {
        "license": SPDX.get(licence, licence),
        "author": str(entry.get("author")),
        "source": f"github.com/{place}",
    }
    name = f"{source.stem}-cut.mp4" if handed_on and cut else source.name
    file = f"{MEDIA_FOLDER if handed_on else FETCHED_FOLDER}/{name}"
    target = out / file
    target.parent.mkdir(parents=True, exist_ok=True)
    if handed_on and cut:
        _cut(source, target, cut)
        credit["changed"] = f"its first {cut:g} s, encoded anew"
    else:
        with replacing(target, overwrite=True) as part:
            shutil.copyfile(source, part)
    if not handed_on:
        path = quote(f"{entry.get('repository')}/{entry.get('commit')}/{entry.get('path')}")
        credit["address"] = f"https://raw.githubusercontent.com/{path}"
    return file, {"file": file, "sha256": sha256_of(target), **credit}


def _cut(source: Path, target: Path, seconds: float) -> None:
    clip = probe(source).cut(0.0, seconds)
    with video_stream(
        target, clip.times, duration=clip.duration, audio_from=source, overwrite=True
    ) as write:
        for frame in read_frames(source, 0.0, seconds):
            write(frame.image)
