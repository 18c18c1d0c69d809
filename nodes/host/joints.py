"""Joints: what was placed in the browser, on the picture that is there now."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.media import check_frames, fit, to_frames, to_uint8, write_image
from ...dreamactor_core.pose.draw import overlay_pose
from ...dreamactor_core.pose.joints import Start, as_value, mask_of, placed, read_edits, start_of
from ...dreamactor_core.pose.keypoints import dump_keypoints
from .guides import GuideInputs
from .video import temp_file

SHOWN_SIDE = 1536  # pixels of the longer side of what the browser shows


class PlacedJoints(NamedTuple):
    keypoints: list[dict]  # OpenPose frames, one
    mask: Tensor  # (1, h, w) in [0, 1]
    preview: Tensor  # (1, h, w, 3)
    ui: dict  # what the widget starts from


def place_joints(picture: Tensor, text: str, given: GuideInputs) -> PlacedJoints:
    """The value of the widget on a picture (1, h, w, 3).

    Raises InputError for several pictures, for a text that the widget has not written, and as
    read_guides does.
    """
    check_frames("image", picture)
    if len(picture) != 1:
        fix = "Pick one of them first."
        raise InputError("image", got=f"{len(picture)} pictures", need="1", fix=fix)
    image, edits = to_uint8(picture), read_edits(text)
    height, width = image.shape[:2]
    start = start_of(image, given.pose(), given.mask)
    start = start._replace(mask=mask_of(image, start, edits))
    guides = placed(image, start, edits)
    assert guides.mask is not None
    pose = guides.pose()
    (preview,) = overlay_pose(pose, [image])
    return PlacedJoints(
        dump_keypoints(pose, width, height),
        torch.from_numpy(guides.mask)[None],
        to_frames(preview)[None],
        {"dreamactor_joints": [_shown(image, start)]},
    )


def _shown(image: np.ndarray, start: Start) -> dict:
    """What the widget shows and starts from, as it takes it."""
    assert start.mask is not None
    height, width = image.shape[:2]
    scale = min(1.0, SHOWN_SIDE / max(height, width))
    small = [max(1, round(side * scale)) for side in (height, width)]
    shown: dict = {"bodies": as_value(start.bodies), "notes": start.notes}
    for name, frame in (("picture", image), ("mask", start.mask[..., None].repeat(3, axis=2))):
        file = temp_file(".png")
        write_image(file.path, fit(frame, *small))
        shown[name] = file.view
    return shown
