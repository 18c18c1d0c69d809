"""A folder of pictures and videos as pages show them, each once, by a name that is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InputError
from ...media.browser import picture_for_browser, video_for_browser
from .cases import AwDriver, AwReference, CaseSet


def media_path(case_set: CaseSet, part: AwDriver | AwReference) -> Path:
    """Of a case's driver or picture. Raises InputError, with where to get it, if it is not there:
    not everything may be handed on.
    """
    path = case_set.path_of(part.file)
    if not path.is_file():
        fix = f"Get it from {part.address or part.source} and put it there."
        raise InputError(str(path), got="no such file", need="the file of the set", fix=fix)
    return path


@dataclass
class ShownMedia:
    folder: Path
    files: dict[str, str] = field(default_factory=dict)  # {name: its file in the folder}
    kept: bool = False  # take a file of the same name for the same one: an earlier run wrote it

    def add(self, path: Path, name: str, picture: bool = False) -> str:
        """Its file in the folder. Raises InputError for what cannot be read."""
        if name not in self.files:
            suffix, write = (
                (".webp", picture_for_browser) if picture else (".mp4", video_for_browser)
            )
            target = self.folder / f"{name}{suffix}"
            if not (self.kept and target.is_file()):
                write(path, target, overwrite=True)
            self.files[name] = target.name
        return self.files[name]

    def type_of(self, name: str) -> str:
        """For a browser."""
        return "image/webp" if self.files[name].endswith(".webp") else "video/mp4"

    def size(self) -> int:
        """Bytes, of all."""
        return sum((self.folder / file).stat().st_size for file in self.files.values())

    def drop_others(self) -> None:
        """Files that nothing here has named: of an earlier page."""
        for path in self.folder.iterdir():
            if path.name not in self.files.values():
                path.unlink()
