"""Make reference and driving video fit: one size, one rate; or the pose drawn as a picture."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import POSE_FITS
from . import kinds
from .host import files


def media_inputs() -> list[io.Input]:
    """reference, driving, fps, size, start, length: what is fitted."""
    return [
        io.Image.Input("reference", tooltip="One picture of the character, of any size."),
        kinds.driving_input(),
        kinds.fps_input(),
        *kinds.part_inputs(),
    ]


def fitted_outputs() -> list[io.Output]:
    return [
        kinds.output(io.Image, "reference"),
        kinds.output(io.Image, "driving"),
        kinds.output(io.Float, "fps", "The model's rate, in frames per second."),
        kinds.output(io.Audio, "audio", "The driving VIDEO's sound, if any."),
    ]


class DreamActorFitMedia(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorFitMedia",
            display_name="DreamActor Fit Media",
            category=kinds.PREPARE_MENU,
            description="Brings the reference and the driving video to one size and to the "
            "model's rate. Nothing is cropped or stretched: bars fill what is left.",
            search_aliases=["dreamactor", "letterbox", "resample video", "frame rate", "resize"],
            inputs=[kinds.model_input(), *media_inputs()],
            outputs=fitted_outputs(),
        )

    @classmethod
    def execute(cls, model, reference, driving, fps, size, start, length) -> io.NodeOutput:
        from .host.prepare import fit_media

        return io.NodeOutput(*fit_media(model, reference, driving, fps, size, start, length))


class DreamActorDrawPose(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorDrawPose",
            display_name="DreamActor Draw Pose",
            category=kinds.PREPARE_MENU,
            description="Draws keypoints as the coloured skeleton that the pose-based variant "
            "reads; one picture for each frame.",
            search_aliases=["dreamactor", "skeleton", "openpose", "dwpose", "keypoints"],
            inputs=[
                kinds.Keypoints.Input(
                    "keypoints", tooltip="OpenPose keypoints, one entry a frame."
                ),
                io.Int.Input(
                    "width", default=256, min=16, max=8192, tooltip="Width of a picture in pixels."
                ),
                io.Int.Input(
                    "height", default=256, min=16, max=8192, tooltip="Height of it in pixels."
                ),
                io.Combo.Input(
                    "fit",
                    options=[*POSE_FITS[:2]],
                    default="box",
                    tooltip="How the pose lies in the picture. box: one box around all people in "
                    "all frames is stretched onto it, as in training; none: every place stays.",
                ),
            ],
            outputs=[kinds.output(io.Image, "skeleton")],
        )

    @classmethod
    def execute(cls, keypoints, width, height, fit) -> io.NodeOutput:
        from .host.prepare import draw_skeleton

        return io.NodeOutput(draw_skeleton(keypoints, width, height, fit))


class DreamActorLoadPose(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorLoadPose",
            display_name="DreamActor Load Pose",
            category=kinds.PREPARE_MENU,
            description="Reads OpenPose JSON, one entry for each frame of a video, from "
            "ComfyUI's input folder.",
            search_aliases=["dreamactor", "openpose json", "keypoint file", "import pose"],
            inputs=[
                kinds.name_input(
                    "file", files.POSES, "Name of a JSON file in ComfyUI's input folder."
                ),
            ],
            outputs=[
                kinds.output(kinds.Keypoints, "keypoints"),
                kinds.output(io.Int, "count", "Number of frames."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file):
        return files.refusal(files.POSES, file)

    @classmethod
    def fingerprint_inputs(cls, file):
        return files.stamp(files.POSES.of(file))

    @classmethod
    def execute(cls, file) -> io.NodeOutput:
        from ..dreamactor_core.pose.keypoints import read_keypoints

        keypoints = read_keypoints(files.POSES.of(file))
        return io.NodeOutput(keypoints, len(keypoints))
