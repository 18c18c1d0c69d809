"""Which keypoint format a JSON file is in, when it is not ours: to say so by name."""

from __future__ import annotations


def recognise(data: object) -> str | None:
    """The name of another tool's format; None for POSE_KEYPOINT and for what nobody knows.

    Looks at the first entry only, and no deeper than it must.
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
    if isinstance(data, dict) and "people" in keys and "canvas_width" not in keys:
        return "OpenPose's own file of one frame, without the size of the canvas"
    return None
