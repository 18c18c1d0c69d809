"""Which models, LoRAs, networks for poses and captions, and pose files there are. A name from a
workflow is untrusted: it counts only if it is in the list, so no path can lead out of the
registered folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import folder_paths

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.options import BLAZEPOSE, WEIGHTS

EMBEDDED = "mini (embedded)"
SHIPPED = {"end-to-end (shipped)": "end-to-end", "pose-based (shipped)": "pose-based"}
INDEXES = ("model.json", "model_index.json")  # a name that ends so makes a folder a model
DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"  # on the hub, as in the core's pose.models, which is
POSE_MODEL = "usyd-community/vitpose-plus-base"  # heavy
MLLM = "Qwen/Qwen3-VL-4B-Instruct"  # as in caption.local
NONE = "none"
FOLDER = "dreamactor"


class LoraChoice(NamedTuple):
    variant: str | None  # the one beside the model, or
    file: Path | None


def register_folders() -> None:
    """models/dreamactor, beside what extra_model_paths.yaml names for it."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def model_names() -> list[str]:
    return [EMBEDDED, *_models()]


def model_path(name: str) -> Path:
    """The folder of a model. Raises InputError for a name that is not in the list."""
    models = {EMBEDDED: WEIGHTS / "mini"} | _models()
    need = "a folder with a model.json or model_index.json below models/dreamactor"
    return _listed("model", name, models, need)


def lora_names() -> list[str]:
    return [*SHIPPED, *_loras()]


def lora_choice(name: str) -> LoraChoice:
    """A variant or a file. Raises InputError for a name that is not in the list."""
    if name in SHIPPED:
        return LoraChoice(SHIPPED[name], None)
    need = "a .safetensors file below models/loras or models/dreamactor"
    return LoraChoice(None, _listed("LoRA", name, _loras(), need))


def pose_names() -> list[str]:
    return sorted(_poses())


def pose_path(name: str) -> Path:
    """A pose file. Raises InputError for a name that is not in the list."""
    return _listed("pose file", name, _poses(), "a .json file in ComfyUI's input folder")


def detector_names() -> list[str]:
    return [DETECTOR, *_networks("detector"), BLAZEPOSE]


def detector_source(name: str) -> Path | str:
    """A folder, BLAZEPOSE, or a name on the hub. Raises InputError for one not in the list."""
    if name == BLAZEPOSE:
        return BLAZEPOSE
    return _network("detector", name, DETECTOR, "detector", "an object detector")


def blazepose_place() -> Path:
    """Where BlazePose is, or would be put."""
    folders = [root / BLAZEPOSE for root in _roots(FOLDER)]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def pose_model_names() -> list[str]:
    return [POSE_MODEL, *_networks("pose")]


def pose_model_source(name: str) -> Path | str:
    """A folder, or a name on the hub. Raises InputError for a name that is not in the list."""
    return _network("pose model", name, POSE_MODEL, "pose", "a ViTPose")


def animal_model_names() -> list[str]:
    return [NONE, *_networks("pose")]


def animal_model_source(name: str) -> Path | None:
    """A folder, or None. Raises InputError for a name that is not in the list."""
    return None if name == NONE else _network("pose model", name, NONE, "pose", "a ViTPose")


def pose_head_names() -> list[str]:
    return [NONE, *_pose_heads()]


def pose_head_source(name: str) -> Path | None:
    """A file, or None. Raises InputError for a name that is not in the list."""
    need = "a .pth file below models/dreamactor"
    return None if name == NONE else _listed("pose heads", name, _pose_heads(), need)


def captioner_names() -> list[str]:
    return [MLLM, *_networks("captioner")]


def captioner_source(name: str) -> Path | str:
    """A folder, or a name on the hub. Raises InputError for a name that is not in the list."""
    return _network("captioner", name, MLLM, "captioner", "a model that answers about pictures")


def refusal(find: Callable[[str], object], name: str | None) -> bool | str:
    """What validate_inputs returns: True, or why a name is refused. None: it comes by a link."""
    try:
        if name is not None:
            find(name)
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
    for root in (*_roots(FOLDER), *_roots("diffusion_models")):
        for info in (info for ending in INDEXES for info in _below(root, ending)):
            found.setdefault(info.parent.relative_to(root).as_posix(), info.parent)
    return found


def _loras() -> dict[str, Path]:
    found = {}
    for name in folder_paths.get_filename_list("loras"):
        path = folder_paths.get_full_path("loras", name)
        if path is not None and name.endswith(".safetensors"):
            found[name] = Path(path)
    for root in _roots(FOLDER):
        for path in _below(root, ".safetensors"):
            if not (path.parent / "config.json").exists():  # that is a part of a model
                name = f"models/{FOLDER}/{path.relative_to(root).as_posix()}"
                found.setdefault(name, path)
    return found


def _network(what: str, name: str, usual: str, kind: str, named: str) -> Path | str:
    if name == usual:
        return usual
    need = f"a folder below models/dreamactor with {named} in the form of transformers"
    return _listed(what, name, _networks(kind), need)


def _networks(kind: str) -> dict[str, Path]:
    """Folders in the form of transformers, by their path below models/dreamactor."""
    found: dict[str, Path] = {}
    for root in _roots(FOLDER):
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
    for root in _roots(FOLDER):
        for path in _below(root, ".pth"):
            found.setdefault(path.relative_to(root).as_posix(), path)
    return found


def _poses() -> dict[str, Path]:
    folder = Path(folder_paths.get_input_directory())
    return {path.name: path for path in folder.glob("*.json") if path.is_file()}


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


def _listed(what: str, name: str, known: dict[str, Path], need: str) -> Path:
    if name not in known:
        raise InputError(
            what,
            got=repr(name),
            need=need,
            fix="Choose one of the list; press R in ComfyUI if you have just put the file there.",
        )
    return known[name]
