"""Detect Pose: the core's detector on ComfyUI's device, with its bar, Cancel and a look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import comfy.model_management as manager
import numpy as np
from comfy.utils import ProgressBar
from torch import Tensor

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.media import (
    Footage,
    VideoInfo,
    check_frames,
    fit,
    probe,
    read_frames,
    to_frames,
    write_video,
)
from ...dreamactor_core.options import BLAZEPOSE
from ...dreamactor_core.pose.blazepose import load_blazepose
from ...dreamactor_core.pose.boxes import Boxed, parse_boxes
from ...dreamactor_core.pose.clips import detect_in_clip
from ...dreamactor_core.pose.detect import Detection, detect_pose
from ...dreamactor_core.pose.draw import overlay_pose
from ...dreamactor_core.pose.keypoints import Pose, dump_keypoints
from ...dreamactor_core.pose.models import load_estimators, load_pose_models
from ...dreamactor_core.pose.networks import NetworkChoice
from ...dreamactor_core.pose.retarget import match_proportions
from ...dreamactor_core.pose.subjects import Cutout, DetectSettings, PoseNetworks, spread_all
from ...dreamactor_core.pose.top_down import Estimators
from . import files
from .progress import watched
from .video import driving_of, naming, temp_file

NETWORKS_ROOM = 3 * 2**30  # bytes: both networks in half precision, and what they hold at work
LONGEST_SIDE = 512  # pixels of the preview, and of a clip's masks
PREVIEW_FRAMES = 64  # frames of the preview, so that a long clip does not fill the memory


class FoundPose(NamedTuple):
    keypoints: list[dict]  # OpenPose frames
    preview: Tensor  # (n, h, w, 3)
    note: str  # who was found, what was left out
    mask: Tensor  # (t, h, w) in [0, 1]
    ui: dict  # the clip that the node shows


def detect(
    video: object,
    fps: float,
    networks: NetworkChoice,
    download: bool,
    settings: DetectSettings,
    reference: Tensor | None,
    bboxes: object = None,
) -> FoundPose:
    """Everyone in a clip, or in boxes that are told.

    Raises InputError for what cannot be read, networks that are not on this machine, and a device
    that is too full.
    """
    settings = replace(settings, masks=networks.detector == BLAZEPOSE and bboxes is None)
    clip = driving_of(video, fps, "frames").clip
    with naming(clip, "video"):
        info = probe(clip)
    if reference is not None:
        check_frames("reference", reference)
    bar = ProgressBar(2 * info.num_frames)  # finding, then drawing
    opened: PoseNetworks
    try:
        if bboxes is None:
            opened = _open_networks(networks, download)
        else:
            told = parse_boxes(bboxes, info.num_frames)
            opened = Boxed(_open_estimators(networks, download), told)
        pose, notes, masks = _found(clip, info, opened, settings, reference, bar)
    except manager.OOM_EXCEPTION as error:
        raise InputError(
            "memory of the device",
            got="too little for the detector and the pose model",
            need=f"about {NETWORKS_ROOM >> 30} GB",
            fix="Close what else uses the GPU, or choose a smaller pose_model.",
        ) from error
    finally:
        manager.soft_empty_cache()
    preview, ui = _drawn(clip, info, pose, bar)
    count = pose.body.shape[1]
    summary = f"{info.num_frames} frames, {count} {'subject' if count == 1 else 'subjects'}."
    note = "\n".join([summary, *notes])
    keypoints = dump_keypoints(pose, info.width, info.height)
    return FoundPose(keypoints, preview, note, _spread(masks, info), ui)


def _found(
    clip: Path | Footage,
    info: VideoInfo,
    networks: PoseNetworks,
    settings: DetectSettings,
    reference: Tensor | None,
    bar: ProgressBar,
) -> Detection:
    images = (frame.image for frame in watched(read_frames(clip)))
    found = detect_in_clip(images, info.times, networks, settings, bar.update_absolute)
    if reference is None:
        return found
    look = detect_pose([reference[0].cpu().numpy()], [0.0], networks, settings)
    notes = [*found.notes, *(f"reference: {note}" for note in look.notes)]
    return found._replace(pose=match_proportions(found.pose, look.pose), notes=notes)


def _open_networks(networks: NetworkChoice, download: bool) -> PoseNetworks:
    """Large ones on ComfyUI's device; they leave it with the node, for the video model needs it."""
    if networks.detector == BLAZEPOSE:
        return load_blazepose(files.blazepose_place(), download=download)
    return load_pose_models(*networks, download=download, device=_freed())


def _open_estimators(networks: NetworkChoice, download: bool) -> Estimators:
    """Of a choice whose detector is not asked."""
    return load_estimators(*networks[1:], download=download, device=_freed())


def _freed() -> str:
    """ComfyUI's device, with room on it."""
    device = manager.get_torch_device()
    manager.free_memory(NETWORKS_ROOM, device)
    return str(device)


def _spread(masks: list[list[Cutout]] | None, info: VideoInfo) -> Tensor:
    """(t, h, w) in [0, 1]: of a picture at its size, of a clip no side longer than LONGEST_SIDE."""
    scale = 1 if info.num_frames == 1 else min(1, LONGEST_SIDE / max(info.width, info.height))
    height, width = (max(1, round(side * scale)) for side in (info.height, info.width))
    frames = masks or [[]] * info.num_frames
    spread = np.stack([spread_all(those, height, width, scale)[..., 0] for those in frames])
    return to_frames(spread)


def _drawn(
    clip: Path | Footage, info: VideoInfo, pose: Pose, bar: ProgressBar
) -> tuple[Tensor, dict]:
    """A few frames to pass on; all of them, one by one, into the clip that the node shows."""
    chosen = (
        np.linspace(0, info.num_frames - 1, min(info.num_frames, PREVIEW_FRAMES))
        .round()
        .astype(int)
    )
    kept: list[np.ndarray] = []

    def drawn() -> Iterator[np.ndarray]:
        for number, picture in enumerate(overlay_pose(pose, _small(clip, info))):
            if number in chosen:
                kept.append(picture)
            yield picture
            bar.update(1)

    file = temp_file(".mp4")
    write_video(file.path, drawn(), info.times, duration=info.duration)
    return to_frames(np.stack(kept)), {"images": [file.view], "animated": (True,)}


def _small(clip: Path | Footage, info: VideoInfo) -> Iterator[np.ndarray]:
    """Frames (h, w, 3) uint8, no side longer than LONGEST_SIDE."""
    scale = min(1, LONGEST_SIDE / max(info.width, info.height))
    height, width = (max(1, round(side * scale)) for side in (info.height, info.width))
    for frame in watched(read_frames(clip)):
        yield (fit(frame.image, height, width) * 255).round().byte().numpy()
