"""Which keypoint format a JSON file is in, when it is not ours: to say so by name."""

from __future__ import annotations

from typing import Any


def frames_of(data: Any) -> Any:
    """The list in any of the forms that keypoints come in; other things as they are."""
    return data.get("frames", [data]) if isinstance(data, dict) else data


def foreign_format(data: object, has_canvas: bool = False) -> str | None:
    """The name of another tool's format; None for POSE_KEYPOINT and for what nobody knows.

    Looks at the first entry only, and no deeper than it must. has_canvas: its size is known
    otherwise, so a file without it will do.
    """
    first = data[0] if isinstance(data, list) and data else data
    if not isinstance(first, dict):
        return None
    keys = set(first)
    if isinstance(data, dict) and {"images", "annotations"} <= keys:
        return "COCO annotations (images, annotations, categories)"
    if {"meta_info", "instance_info"} <= keys or {"frame_id", "instances"} <= keys:
        return "predictions of MMPose (instances with keypoint_scores)"
    if "animals" in keys and "people" not in keys:
        return "AP-10K animal keypoints (animals, version)"
    if "image_id" in keys and "keypoints" in keys:
        return "COCO or AlphaPose results (image_id, keypoints, score)"
    if keys & {"landmarks", "pose_landmarks", "poseLandmarks"}:
        return "landmarks of MediaPipe"
    if {"nodes", "links"} <= keys:
        return "a ComfyUI workflow"
    lacks = "people" in keys and "canvas_width" not in keys and not has_canvas
    if lacks and (isinstance(data, dict) or "version" in keys):
        return "OpenPose's own file of one frame, without the size of the canvas"
    return None
