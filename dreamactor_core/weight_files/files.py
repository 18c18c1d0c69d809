"""Weights files that were named in the place of a pipeline folder's own. Nothing heavy here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

INDEX = "model_index.json"  # of a diffusers pipeline
COMFYUI = {  # field of Files: where ComfyUI's models/ has such files, by the new and the old name
    "transformers": ("diffusion_models", "unet"),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "image_encoder": ("clip_vision",),
}


@dataclass(frozen=True)
class Files:
    """What was named in the place of a folder's own weights; the rest is the folder's."""

    transformers: tuple[str | Path, ...] = ()  # one, or the high-noise and the low-noise expert
    vae: str | Path | None = None
    text_encoders: tuple[str | Path, ...] = ()  # in any order: their keys tell which is which
    image_encoder: str | Path | None = None

    def __post_init__(self):
        if len(self.transformers) > 2:
            raise InputError(
                "weights",
                got=f"{len(self.transformers)} files",
                need="1 or 2",
                fix="Give one for each expert.",
            )

    def found_in(self, models: Path) -> Files:
        """The same with what is no file here looked for by name in ComfyUI's models folder.

        Raises InputError, naming what there is, for one that is in neither.
        """
        found: dict[str, Any] = {}
        for name, folders in COMFYUI.items():
            places = [models / folder for folder in folders if (models / folder).is_dir()]
            named = getattr(self, name)
            several = named if isinstance(named, tuple) else (named,)
            paths = tuple(
                one if one is None or Path(one).is_file() else find_file(str(one), places)
                for one in several
            )
            found[name] = paths if isinstance(named, tuple) else paths[0]
        return Files(**found)

    def parts(self) -> Iterator[tuple[str, str | Path]]:
        """(the kind of place, file) of all but the transformers."""
        for place, path in (("vae", self.vae), ("image_encoder", self.image_encoder)):
            if path:
                yield place, path
        for path in self.text_encoders:
            yield "text_encoder", path


def find_file(name: str, folders: Iterable[str | Path]) -> Path:
    """A file by name in the model folders of a host, sub-folders included.

    Raises InputError, naming what there is, when no folder has it.
    """
    present = []
    for folder in map(Path, folders):
        if ".." not in Path(name).parts and (folder / name).is_file():
            return folder / name
        present += [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.*"))]
    raise InputError(
        "model file",
        got=repr(name),
        need=f"one of {present[:20]}" if present else "a file; the folders are empty",
        fix="Check the name, or put the file there.",
    )
