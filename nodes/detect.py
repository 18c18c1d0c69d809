"""The pose of whoever is in a clip, found: what Draw Pose and the pose-based variant start from."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import BLAZEPOSE, SUBJECTS
from . import kinds
from .host import files


def _network_inputs() -> list[io.Input]:
    """What finds the subjects and their joints."""
    return [
        kinds.name_input(
            "detector",
            files.DETECTORS,
            "Name of what finds the subjects. blazepose: people, their joints and their outline by "
            "itself (36 MB to fetch), many frames a second on a CPU. Others: an object detector "
            "(172 MB), animals too, in whose boxes pose_model finds the joints; or a folder below "
            "models/dreamactor with one.",
            default=BLAZEPOSE,
        ),
        kinds.name_input(
            "pose_model",
            files.POSE_MODELS,
            "Name of the network that finds the joints (502 MB): the usual one, or a folder below "
            "models/dreamactor with a ViTPose. Not read with blazepose.",
        ),
        kinds.name_input(
            "pose_heads",
            files.POSE_HEADS,
            "Name of the original ViTPose++ file (.pth) below models/dreamactor, of the size of "
            "pose_model: hands, face, feet and animals. none: bodies only. Not read with "
            "blazepose.",
        ),
        kinds.name_input(
            "animal_model",
            files.ANIMAL_MODELS,
            "Name of another ViTPose below models/dreamactor that was trained on animals (AP-10K). "
            "none: animals need pose_heads. Not read with blazepose.",
            advanced=True,
        ),
    ]


def _subject_inputs() -> list[io.Input]:
    """Who of those that are found is followed, and how closely."""
    return [
        io.Combo.Input(
            "subjects", options=[*SUBJECTS], default="all", tooltip="Whom to follow, a name."
        ),
        io.Float.Input(
            "threshold",
            default=0.5,
            min=0.01,
            max=0.99,
            step=0.01,
            tooltip="How sure the detector must be, 0 to 1. Lower finds more, wrong ones too.",
        ),
        io.Int.Input(
            "max_subjects",
            default=4,
            min=1,
            max=32,
            tooltip="Number of subjects that are kept: those that fill most of the clip.",
        ),
        io.Boolean.Input(
            "smoothing",
            default=True,
            tooltip="Hold still what rests, and fill gaps of up to a quarter of a second; "
            "off or on. Off: what the network said.",
        ),
    ]


def _outputs() -> list[io.Output]:
    return [
        kinds.output(kinds.Keypoints, "keypoints", "One entry for each frame."),
        kinds.output(
            io.Image,
            "preview",
            "To look at: the skeletons over up to 64 frames of the clip, spread "
            "evenly, at most 512 pixels wide and high.",
        ),
        kinds.output(io.String, "note", "Who was found, and what was left out."),
        kinds.output(
            io.Mask,
            "mask",
            "Where the subjects are, 0 to 1, in each frame: a picture's own size "
            "in pixels, of a clip at most 512 pixels wide and high. Only blazepose tells "
            "it; black with others.",
        ),
    ]


class DreamActorDetectPose(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorDetectPose",
            display_name="DreamActor Detect Pose",
            category=kinds.PREPARE_MENU,
            description="Finds the people of a clip, or its animals too, follows each of them and "
            "gives their keypoints and their outline. Shows the skeletons over the clip, with the "
            "number of each subject. Of a picture it gives the guides of Animate.",
            search_aliases=[
                *("dreamactor", "openpose", "vitpose", "dwpose", "estimate keypoints"),
                *("blazepose", "mediapipe", "person mask"),
            ],
            inputs=[
                kinds.footage_input("video", "Who moves"),
                kinds.fps_input(),
                *_network_inputs(),
                *_subject_inputs(),
                io.Boolean.Input(
                    "download",
                    default=False,
                    tooltip="Fetch what is not on this machine, once: blazepose from pip's package "
                    "index, the others from huggingface.co; off or on. Off: nothing is ever "
                    "fetched.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="A picture of the character: the skeletons take its bone lengths, if "
                    "a person is found in it.",
                ),
                kinds.BoxesType.Input(
                    "bboxes",
                    optional=True,
                    tooltip="Boxes in the place of the detector's, one list for each frame, in "
                    "pixels of the video, as ComfyUI's RT-DETR and SAM3 find them; pose_model "
                    "finds the joints in them.",
                ),
            ],
            outputs=_outputs(),
        )

    @classmethod
    def validate_inputs(cls, detector=None, pose_model=None, pose_heads=None, animal_model=None):
        answers = [
            files.refusal(files.DETECTORS, detector),
            files.refusal(files.POSE_MODELS, pose_model),
            files.refusal(files.POSE_HEADS, pose_heads),
            files.refusal(files.ANIMAL_MODELS, animal_model),
        ]
        return next((answer for answer in answers if answer is not True), True)

    @classmethod
    def execute(
        cls,
        video,
        fps,
        detector,
        pose_model,
        pose_heads,
        animal_model,
        subjects,
        threshold,
        max_subjects,
        smoothing,
        download,
        reference=None,
        bboxes=None,
    ) -> io.NodeOutput:
        from ..dreamactor_core.pose.networks import NetworkChoice
        from ..dreamactor_core.pose.subjects import DetectSettings
        from .host.detect import detect

        networks = NetworkChoice(
            files.DETECTORS.of(detector),
            files.POSE_MODELS.of(pose_model),
            files.POSE_HEADS.of(pose_heads),
            files.ANIMAL_MODELS.of(animal_model),
        )
        settings = DetectSettings(subjects, threshold, max_subjects, smoothing=smoothing)
        found = detect(video, fps, networks, download, settings, reference, bboxes)
        return io.NodeOutput(found.keypoints, found.preview, found.note, found.mask, ui=found.ui)
