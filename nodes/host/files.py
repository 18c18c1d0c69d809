"""Which models, LoRAs, networks for poses and captions, and pose files there are. A name from a
workflow is untrusted: it counts only if it is in the list, so no path can lead out of the
registered folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import folder_paths

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.options import (
    BLAZEPOSE,
    CAPTIONER_NAME,
    DEFAULT_MODEL,
    DETECTOR_NAME,
    INCONTEXT,
    POSE_MODEL_NAME,
    VARIANTS,
    WEIGHTS,
)
from ...dreamactor_core.pose.homes import further_homes

EMBEDDED_MODEL = f"{DEFAULT_MODEL} (embedded)"
BARE_MODEL = f"{INCONTEXT} (64 px, the bare method)"
SHIPPED = {f"{variant} (shipped)": variant for variant in reversed(VARIANTS)}
INDEXES = ("model.json", "model_index.json")  # a name that ends so makes a folder a model
NONE = "none"
MODELS_FOLDER = "dreamactor"
TRANSFORMERS = "a folder below models/dreamactor with {} in the form of transformers"


@dataclass(frozen=True)
class Choice:
    """What a combo lists, and what each name of it stands for."""

    what: str  # is chosen
    need: str  # of what is found
    find: Callable[[], Mapping[str, Any]]
    first: Mapping[str, Any] = field(default_factory=dict)  # what there always is
    last: Mapping[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [*self.first, *self.find(), *self.last]

    def of(self, name: str) -> Any:
        """Raises InputError for a name that is not in the list."""
        known = {**self.find(), **self.first, **self.last}
        if name not in known:
            raise InputError(
                self.what,
                got=repr(name),
                need=self.need,
                fix="Choose one of the list; press R in ComfyUI if you have just put the file "
                "there.",
            )
        return known[name]


class LoraChoice(NamedTuple):
    variant: str | None  # the one beside the model, or
    file: Path | None


def register_folders() -> None:
    """models/dreamactor, beside what extra_model_paths.yaml names for it; BlazePose may be in any
    of them."""
    folder_paths.add_model_folder_path(
        MODELS_FOLDER, str(Path(folder_paths.models_dir) / MODELS_FOLDER)
    )
    further_homes[:] = [root / BLAZEPOSE for root in _roots(MODELS_FOLDER)]


def blazepose_place() -> Path:
    """Where BlazePose is, or would be put."""
    folders = [root / BLAZEPOSE for root in _roots(MODELS_FOLDER)]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def refusal(choice: Choice, name: str | None) -> bool | str:
    """What validate_inputs returns: True, or why a name is refused. None: it comes by a link."""
    try:
        if name is not None:
            choice.of(name)
    except InputError as error:
        return str(error)
    return True


def stamp(path: Path | None) -> str:
    """Changes when a file, or a file of a folder, changes on the disk."""
    if path is None:
        return ""
    paths = _below(path, "") if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in paths]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def _models() -> dict[str, Path]:
    """Name, which is the path below its root -> folder; the first root that has it wins."""
    found: dict[str, Path] = {}
    for root in (*_roots(MODELS_FOLDER), *_roots("diffusion_models")):
        for info in (info for ending in INDEXES for info in _below(root, ending)):
            name = info.parent.relative_to(root).as_posix()
            found.setdefault(name, info.parent)
    return found


def _loras() -> dict[str, Path]:
    found = {}
    for name in folder_paths.get_filename_list("loras"):
        path = folder_paths.get_full_path("loras", name)
        if path is not None and name.endswith(".safetensors"):
            found[name] = Path(path)
    for root in _roots(MODELS_FOLDER):
        for path in _below(root, ".safetensors"):
            if not (path.parent / "config.json").exists():  # that is a part of a model
                name = f"models/{MODELS_FOLDER}/{path.relative_to(root).as_posix()}"
                found.setdefault(name, path)
    return found


def _network_folders(kind: str) -> dict[str, Path]:
    """Folders in the form of transformers, by their path below models/dreamactor."""
    found: dict[str, Path] = {}
    for root in _roots(MODELS_FOLDER):
        for config in _below(root, "config.json"):
            if config.name == "config.json" and _kind_of(config) == kind:
                found.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return found


def _kind_of(config: Path) -> str | None:
    """What a network is, by what its config.json says."""
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
        name = (told.get("architectures") or [""])[0]
        if told.get("model_type") == "vitpose":
            return "pose"
        if name.endswith("ForObjectDetection"):
            return "detector"
        return "captioner" if "vision_config" in told else None
    except (OSError, ValueError, AttributeError, TypeError, LookupError):
        return None


def _pose_heads() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in _roots(MODELS_FOLDER):
        for path in _below(root, ".pth"):
            found.setdefault(path.relative_to(root).as_posix(), path)
    return found


def _poses() -> dict[str, Path]:
    folder = Path(folder_paths.get_input_directory())
    return {path.name: path for path in sorted(folder.glob("*.json")) if path.is_file()}


def _roots(folder: str) -> list[Path]:
    return [Path(path) for path in folder_paths.get_folder_paths(folder)]


def _below(root: Path, ending: str) -> list[Path]:
    """Files in a folder, linked folders included, as ComfyUI itself looks for them. A folder that
    is reached twice, as by a link to one around it, counts once.
    """
    found, been = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in been:
            folders.clear()
            continue
        been.add(real)
        found += [Path(folder) / name for name in names if name.endswith(ending)]
    return sorted(found)


MODELS = Choice(
    "model",
    "a folder with a model.json or model_index.json below models/dreamactor",
    _models,
    {EMBEDDED_MODEL: WEIGHTS / DEFAULT_MODEL, BARE_MODEL: WEIGHTS / INCONTEXT},
)
NATIVE_LORAS = Choice("LoRA", "a .safetensors file below models/loras or models/dreamactor", _loras)
LORAS = replace(
    NATIVE_LORAS,
    find=lambda: {name: LoraChoice(None, path) for name, path in _loras().items()},
    first={name: LoraChoice(variant, None) for name, variant in SHIPPED.items()},
)
POSES = Choice("pose file", "a .json file in ComfyUI's input folder", _poses)
DETECTORS = Choice(
    "detector",
    TRANSFORMERS.format("an object detector"),
    partial(_network_folders, "detector"),
    {DETECTOR_NAME: DETECTOR_NAME},
    {BLAZEPOSE: BLAZEPOSE},
)
POSE_MODELS = Choice(
    "pose model",
    TRANSFORMERS.format("a ViTPose"),
    partial(_network_folders, "pose"),
    {POSE_MODEL_NAME: POSE_MODEL_NAME},
)
ANIMAL_MODELS = replace(POSE_MODELS, first={NONE: None})
POSE_HEADS = Choice("pose heads", "a .pth file below models/dreamactor", _pose_heads, {NONE: None})
CAPTIONERS = Choice(
    "captioner",
    TRANSFORMERS.format("a model that answers about pictures"),
    partial(_network_folders, "captioner"),
    {CAPTIONER_NAME: CAPTIONER_NAME},
)
