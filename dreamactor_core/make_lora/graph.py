"""The graph that uses the LoRAs of a job: ComfyUI's API form, which its browser opens as well.

Load Image, Load Video, Load Model --> Load LoRA (end-to-end) -----------------> Animate --> Save
                                   --> Load LoRA (pose-based), Detect Pose ----> Animate --> Save
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..options import BLAZEPOSE, POSE_MODEL_NAME

ApiGraph = dict[str, dict[str, Any]]


def graph_of(
    model: str,
    loras: Mapping[str, Sequence[str]],
    files: tuple[str, str],
    size: int | None = None,
) -> ApiGraph:
    """model: as Load Model lists it. loras: variant -> files as Load LoRA lists them, one for each
    expert. files: of a picture and a video in ComfyUI's input folder. size: pixels of a panel's
    side that was asked for in training; None: the base's own.
    """
    graph: ApiGraph = {}

    def add(kind: str, title: str, **inputs: Any) -> str:
        name = str(len(graph) + 1)
        graph[name] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
        return name

    picture = add("LoadImage", "Reference", image=files[0])
    video = add("LoadVideo", "Driving video", file=files[1])
    base = add(
        "DreamActorLoadModel", "Base", model=model, precision="auto", placement="auto",
        storage="none", offload="none",
    )  # fmt: skip
    for variant, names in loras.items():
        worn = base
        for file in names:
            worn = add("DreamActorLoadLora", f"{variant} LoRA", model=[worn, 0], lora=file,
                       strength=1.0)  # fmt: skip
        more: dict[str, Any] = {} if size is None else {"size": size}
        if variant == "pose-based":
            pose = add("DreamActorDetectPose", "Poses", video=[video, 0], **DETECT)
            more["keypoints"] = [pose, 0]
        made = add(
            "DreamActorAnimate", variant, model=[worn, 0], reference=[picture, 0],
            driving=[video, 0], **SAMPLING, **more,
        )  # fmt: skip
        place = f"dreamactor/{variant}"
        add("SaveVideo", f"Save {variant}", video=[made, 0], filename_prefix=place, format="auto",
            codec="auto")  # fmt: skip
    return graph


# What the nodes stand on when they are new.
SAMPLING = {"prompt": "", "seed": 0, "steps": 0, "cfg": 0.0, "driving_cfg": 1.0, "fps": 8.0}
DETECT = {
    "fps": 8.0,
    "detector": BLAZEPOSE,
    "pose_model": POSE_MODEL_NAME,
    "pose_heads": "none",
    "animal_model": "none",
    "subjects": "people",
    "threshold": 0.5,
    "max_subjects": 4,
    "smoothing": True,
    "download": False,
}
