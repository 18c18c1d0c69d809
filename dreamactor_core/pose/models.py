"""The networks that find subjects and their joints, from folders or, when asked, from the hub.

A detector is any object detector of transformers that knows "person" (RT-DETR by default); an
estimator is ViTPose or ViTPose++. The ViTPose++ checkpoints in transformers' form have experts for
six data sets but only the first one's output layer, the 17 joints of COCO. The output layers for
whole bodies and for animals are in the original file (vitpose+_base.pth), which may be given too.
"""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForObjectDetection, VitPoseForPoseEstimation
from transformers.models.vitpose.modeling_vitpose import VitPoseClassicDecoder

from .. import options
from ..errors import InputError
from ..hub import NO_CODE, Weights, fetch, needs_code, pick_device, reason
from ..weight_files.configs import check_configs
from .skeletons import COUNTS
from .top_down import VITPOSE_EXPERTS, Estimator, Estimators, PoseModels

ORIGINAL_HEADS = {"ap10k": 2, "wholebody": 4}  # number among its associate_keypoint_heads
HEAD_KEYS = {  # original name: transformers' name
    "deconv_layers.0": "deconv1",
    "deconv_layers.1": "batchnorm1",
    "deconv_layers.3": "deconv2",
    "deconv_layers.4": "batchnorm2",
    "final_layer": "conv",
}


DETECTOR = Weights("person detector", options.DETECTOR_NAME, "172 MB", "Apache-2.0", "detector")
ESTIMATOR = Weights("pose estimator", options.POSE_MODEL_NAME, "502 MB", "Apache-2.0", "pose_model")


def load_pose_models(
    detector: str | Path | None = None,
    estimator: str | Path | None = None,
    heads: Path | None = None,
    animals: str | Path | None = None,
    *,
    download: bool = False,
    device: str = "auto",
) -> PoseModels:
    """Load what is needed, in half precision on a GPU.

    detector, estimator, animals: a folder, or a name on the hub; None: DETECTOR, ESTIMATOR, and no
        estimator for animals. What was fetched from the hub earlier is found without download.
    heads: the original ViTPose++ file of the estimator's size: hands, face, feet, animals.
    Raises InputError for a folder that lacks files or holds another kind of model, and for what is
    not on this machine when download is False.
    """
    place = pick_device(device)
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    folder = fetch(detector, DETECTOR, download)
    found = _load(AutoModelForObjectDetection, folder, "an object detector of transformers")
    if "person" not in {name.lower() for name in found.config.id2label.values()}:
        names = ", ".join(list(found.config.id2label.values())[:5])
        raise InputError(
            f"detector {folder}",
            got=f"one of {names}",
            need="one that knows 'person'",
            fix=f"Use {DETECTOR.repository}.",
        )
    processor = _load(AutoImageProcessor, folder, "an object detector of transformers")
    found.to(place, dtype).eval()
    people, beasts = load_estimators(estimator, heads, animals, download=download, device=device)
    return PoseModels(found, processor, people, beasts)


def load_estimators(
    estimator: str | Path | None = None,
    heads: Path | None = None,
    animals: str | Path | None = None,
    *,
    download: bool = False,
    device: str = "auto",
) -> Estimators:
    """What finds joints in boxes that are told; arguments and errors as of load_pose_models."""
    place = pick_device(device)
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    people = _estimator(fetch(estimator, ESTIMATOR, download), ("coco", "wholebody"))
    beasts = None
    if animals is not None:
        beasts = _estimator(fetch(animals, ESTIMATOR, download), ("ap10k",))
    if heads is not None:
        original = _read_original(heads)
        beasts = beasts or _with_head(people, heads, original, "ap10k")
        people = _with_head(people, heads, original, "wholebody")
    for model in filter(None, [people.model, beasts and beasts.model]):
        model.to(place, dtype).eval()
    return Estimators(people, beasts)


def _load(kind: Any, folder: Path, need: str):
    """kind.from_pretrained of a folder; its failures are the user's folder."""
    check_configs(folder)
    try:
        return kind.from_pretrained(folder, **NO_CODE)
    except OSError as error:
        got = f"a folder that lacks a file ({reason(error)})"
        fix = "Copy all files of the model there: config, preprocessor_config, weights."
        raise InputError(str(folder), got=got, need=need, fix=fix) from error
    except (ValueError, KeyError, RuntimeError) as error:
        if refusal := needs_code(folder, error):
            raise refusal from None
        got = f"another kind of model, or a damaged one ({reason(error)})"
        fix = f"Use {DETECTOR.repository} and {ESTIMATOR.repository}."
        raise InputError(str(folder), got=got, need=need, fix=fix) from error


def _estimator(folder: Path, skeletons: tuple[str, ...]) -> Estimator:
    """skeletons: what its joints may be."""
    need = "'vitpose': ViTPose or ViTPose++ in the form of transformers"
    if _type_of(folder) != "vitpose":
        got = f"a model of type {_type_of(folder)!r}"
        fix = f"Use {ESTIMATOR.repository}."
        raise InputError(str(folder), got=got, need=need, fix=fix)
    model = _load(VitPoseForPoseEstimation, folder, need)
    count = model.config.num_labels
    skeleton = next((name for name in skeletons if COUNTS[name] == count), None)
    if skeleton is None:
        need = " or ".join(f"{COUNTS[name]} ({name})" for name in skeletons)
        fix = f"Use {ESTIMATOR.repository}."
        raise InputError(f"joints of {folder}", got=count, need=need, fix=fix)
    processor = _load(AutoImageProcessor, folder, need)
    size = tuple(model.config.backbone_config.image_size)
    return Estimator(model, skeleton, size, processor.image_mean, processor.image_std)


def _type_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def _with_head(
    estimator: Estimator, path: Path, original: dict[str, Tensor], skeleton: str
) -> Estimator:
    """The same network, not copied, with an output layer of the original ViTPose++ file."""
    model = estimator.model
    config = copy.deepcopy(model.config)
    config.num_labels = COUNTS[skeleton]
    head = VitPoseClassicDecoder(config)
    prefix = f"associate_keypoint_heads.{ORIGINAL_HEADS[skeleton]}."
    state = {}
    for name, tensor in original.items():
        layer, _, parameter = name.removeprefix(prefix).rpartition(".")
        if name.startswith(prefix) and layer in HEAD_KEYS:
            state[f"{HEAD_KEYS[layer]}.{parameter}"] = tensor
    for name in ("conv.weight", "conv.bias"):  # some files pad them to the longest
        state[name] = state[name][: COUNTS[skeleton]] if name in state else torch.empty(0)
    plus = model.backbone.config.num_experts > max(VITPOSE_EXPERTS.values())
    try:
        if not plus:
            raise RuntimeError("the estimator has no experts for it")
        head.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"output layers {path}",
            got=f"none that fit ({reason(error)})",
            need="the original ViTPose++ file of the estimator's own size",
            fix="With vitpose-plus-base use vitpose+_base.pth, and so on.",
        ) from error
    changed = copy.copy(model)
    changed._modules = {**model._modules, "head": head}
    return estimator._replace(model=changed, skeleton=skeleton)


def _read_original(path: Path) -> dict[str, Tensor]:
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        return data.get("state_dict", data)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise InputError(
            f"output layers {path}",
            got=f"a file that cannot be read ({reason(error)})",
            need="the original ViTPose++ file, such as vitpose+_base.pth",
            fix="Fetch it (586 MB) from https://huggingface.co/nielsr/vitpose-original-checkpoints.",
        ) from error
