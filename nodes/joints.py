"""Place the joints of a character by hand, and paint its mask: for all that no detector knows."""

from __future__ import annotations

from comfy_api.latest import io

from . import kinds


class DreamActorJoints(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorJoints",
            display_name="DreamActor Joints",
            category=kinds.PREPARE_MENU,
            description="Shows the picture with the 18 joints of its character on it, to be "
            "dragged into place, and a brush for the mask: whatever has limbs can be animated. "
            "Starts from keypoints that were found, or from a standing figure.",
            search_aliases=[
                *("dreamactor", "pose editor", "openpose editor", "edit keypoints"),
                *("skeleton", "mask brush", "rig"),
            ],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="One picture of the character, of any size."),
                io.String.Input(
                    "joints",
                    default="",
                    tooltip="What was placed in the node, as text; empty: nothing yet. The node "
                    "writes it, and it is saved with the workflow.",
                ),
                kinds.Keypoints.Input(
                    "keypoints",
                    optional=True,
                    tooltip="OpenPose keypoints of this picture to start from, one frame; Detect "
                    "Pose gives them. Once a joint was moved, those of the node count.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Mask to start from, 0 to 1, of the picture's aspect: 1 (white) is the "
                    "character. Without one it is found on plain ground, or else about the joints.",
                ),
            ],
            outputs=[
                kinds.output(
                    kinds.Keypoints,
                    "keypoints",
                    "One frame, for reference_keypoints of Animate.",
                ),
                kinds.output(
                    io.Mask,
                    "mask",
                    "Where the character is, 0 to 1, for reference_mask of Animate.",
                ),
                kinds.output(io.Image, "preview", "The skeleton on the picture."),
            ],
        )

    @classmethod
    def execute(cls, image, joints, keypoints=None, mask=None) -> io.NodeOutput:
        from .host.guides import GuideInputs
        from .host.joints import place_joints

        made = place_joints(image, joints, GuideInputs(keypoints, mask))
        return io.NodeOutput(made.keypoints, made.mask, made.preview, ui=made.ui)
