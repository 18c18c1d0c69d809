"""Identity by the features of a vision model that the user has: DINOv2, DINOv3, CLIP or SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ....errors import InputError
from ....hub import NO_CODE, needs_code, pick_device, reason
from ....media import smaller
from ....pose.keypoints import MIN_CONFIDENCE, Pose
from ....weight_files.configs import check_configs, read_json
from ..cases import sha256_of
from .identity import moments_of
from .seen import SEEN_SIDE, Compared

KINDS = (  # model types of transformers whose features tell who is seen
    "clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "dinov3_vit", "siglip",
    "siglip_vision_model",
)  # fmt: skip
NEEDED_KIND = "the folder of a DINOv2, DINOv3, CLIP or SigLIP model, in the form of transformers"
VISION_FIX = "Copy all files of facebook/dinov2-base there: config, preprocessor_config, weights."
CROP_ROOM = 0.2  # of the joints' longer side, around them: the head and hands lie outside
PICTURES_AT_ONCE = 8


class VisionFeatures:
    """A model with its processor; as load_vision gives it."""

    def __init__(self, model: Any, processor: Any, digest: str):
        """digest: of the model's files."""
        self.model, self.processor, self.digest = model, processor, digest

    @torch.inference_mode()
    def of(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(h, w, 3) uint8 each -> (n, d), each of length 1."""
        found = []
        for start in range(0, len(images), PICTURES_AT_ONCE):
            some = list(images[start : start + PICTURES_AT_ONCE])
            pixels = self.processor(
                images=some, return_tensors="pt", input_data_format="channels_last"
            )["pixel_values"].to(self.model.device)
            two_sided = hasattr(self.model, "get_image_features")  # pictures and words
            told = self.model.get_image_features(pixels) if two_sided else self.model(pixels)
            found.append(getattr(told, "pooler_output", told).float().cpu())
        features = torch.cat(found)
        return torch.nn.functional.normalize(features, dim=-1).numpy()


def _checked(folder: Path) -> str:
    """Digests of the model's files. Raises InputError for what is none of KINDS, or lacks files."""
    what = f"vision model {folder}"
    for name in ("config.json", "preprocessor_config.json"):
        if not (folder / name).is_file():
            raise InputError(what, got=f"no {name} in it", need=NEEDED_KIND, fix=VISION_FIX)
    check_configs(folder)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in KINDS:
        got, fix = f"a model of type {kind!r}", f"Use one of {', '.join(KINDS)}."
        raise InputError(what, got=got, need=NEEDED_KIND, fix=fix)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(what, got="no .safetensors in it", need=NEEDED_KIND, fix=VISION_FIX)
    files = [folder / "config.json", folder / "preprocessor_config.json", *weights]
    return " ".join(sha256_of(path) for path in files)


def load_vision(folder: Path, device: str = "auto") -> VisionFeatures:
    """Nothing is fetched, and no code of the folder is run. Raises InputError for what is none of
    KINDS, and for files that are damaged, lacking, or do not fit each other."""
    digest = _checked(folder)
    from transformers import AutoImageProcessor, AutoModel

    local = {"local_files_only": True, **NO_CODE}
    what, place = f"vision model {folder}", pick_device(device)
    try:
        model, loaded = AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **local
        )
        processor = AutoImageProcessor.from_pretrained(folder, **local)
        vision = VisionFeatures(model.to(place).eval(), processor, digest)
        vision.of([np.zeros((64, 64, 3), np.uint8)])  # sizes that do not fit are told here
    except InputError:
        raise
    except Exception as error:  # transformers raises a dozen kinds for a broken folder
        if refusal := needs_code(folder, error):
            raise refusal from None
        got = f"what transformers cannot load ({reason(error)})"
        raise InputError(what, got=got, need=NEEDED_KIND, fix=VISION_FIX) from error
    if lacking := sorted(loaded["missing_keys"]):
        got = f"no weights for {len(lacking)} layers, such as {lacking[0]}"
        raise InputError(what, got=got, need="all of them", fix=VISION_FIX)
    return vision


def identity_features(seen: Compared, vision: VisionFeatures) -> float:
    """Mean cosine of the reference's features and those of some frames, -1..1.

    Of the crop around the limbs where they are known on both sides; else of whole pictures.
    """
    numbers = moments_of(seen)
    reference = smaller(seen.reference, SEEN_SIDE)  # as small as the frames are kept
    frames = [seen.made.frames[k] for k in numbers]
    own, made = seen.reference_pose, seen.made.pose
    if own is not None and made is not None:
        reference = _crop(reference, own, 0)
        frames = [_crop(frame, made, k) for frame, k in zip(frames, numbers, strict=True)]
    features = vision.of([reference, *frames])
    return float(np.clip(np.mean(features[1:] @ features[0]), -1, 1))


def _crop(image: np.ndarray, pose: Pose, frame: int) -> np.ndarray:
    """A square around the joints that are known, with room; grey outside of the picture."""
    height, width = image.shape[:2]
    joints = pose.body[frame, 0]
    known = joints[joints[:, 2] >= MIN_CONFIDENCE, :2] * [width, height]
    if len(known) < 2:
        return image
    low, high = known.min(axis=0), known.max(axis=0)
    side = max(8.0, float((high - low).max()) * (1 + 2 * CROP_ROOM))
    left, top = np.round((low + high - side) / 2)
    shift = np.array([[1.0, 0, -left], [0, 1, -top]], np.float32)
    size = (round(side), round(side))
    return cv2.warpAffine(image, shift, size, borderValue=(128, 128, 128))
