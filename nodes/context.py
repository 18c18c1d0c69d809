"""What the network is told: the side-by-side composite, its mask, the latents."""

from __future__ import annotations

from comfy_api.latest import io

from . import kinds


class DreamActorComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorComposite",
            display_name="DreamActor Composite",
            category=kinds.CONTEXT_MENU,
            description="Places the reference beside the driving frames: the in-context input of "
            "the method, with the lead-in in which the character moves into the motion.",
            search_aliases=["dreamactor", "in-context", "side by side", "diptych"],
            inputs=[
                kinds.model_input(),
                io.Image.Input(
                    "reference", tooltip="One picture, the size of the driving frames in pixels."
                ),
                io.Image.Input(
                    "driving",
                    tooltip="Frames at the model's rate and size (from DreamActor Fit Media), or "
                    "a skeleton for the pose-based variant; no more than one pass of it holds.",
                ),
                *kinds.guide_inputs("of the reference's aspect in pixels"),
            ],
            outputs=[
                kinds.output(io.Image, "composite", "To look at: both panels."),
                kinds.output(kinds.CompositeType, "dreamactor_composite"),
            ],
        )

    @classmethod
    def execute(
        cls, model, reference, driving, reference_keypoints=None, reference_mask=None
    ) -> io.NodeOutput:
        from .host.context import check_staged, compose_value
        from .host.guides import GuideInputs

        check_staged(model)
        guides = GuideInputs(reference_keypoints, reference_mask)
        value = compose_value(model, reference, driving, guides)
        return io.NodeOutput(value.composite.frames, value)


class DreamActorMotionMask(io.ComfyNode):
    # From 0.19 on the host shows what the node shows when its result comes from the cache, too.
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorMotionMask",
            display_name="DreamActor Motion Mask",
            category=kinds.CONTEXT_MENU,
            description="Says what is known and what the model must draw: the length of the "
            "lead-in, the end of an earlier piece to go on from, or footage to keep around the "
            "character. Replaces what an earlier Motion Mask said.",
            search_aliases=["dreamactor", "known mask", "inpaint", "replace character", "extend"],
            inputs=[
                kinds.CompositeType.Input("composite", tooltip="From DreamActor Composite."),
                kinds.lead_in_input(),
                *kinds.known_inputs(),
            ],
            outputs=[
                kinds.output(kinds.CompositeType, "composite"),
                kinds.output(io.Mask, "mask", "To look at: white is known, black drawn."),
                kinds.output(io.Image, "image", "To look at: both panels, as masked."),
            ],
        )

    @classmethod
    def execute(
        cls, composite, lead_in, prefix=None, prefix_driving=None, scene=None, keep=None
    ) -> io.NodeOutput:
        from ..dreamactor_core.composite import Known
        from .host.context import mask_motion, mask_preview

        value = mask_motion(composite, lead_in, Known(prefix, prefix_driving, scene, keep))
        frames, known = value.composite[:2]
        return io.NodeOutput(value, known[..., 0], frames, ui=mask_preview(value))


class DreamActorEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorEncode",
            display_name="DreamActor Encode",
            category=kinds.CONTEXT_MENU,
            description="Turns the composite into the latents and the mask that the network reads.",
            search_aliases=["dreamactor", "vae encode", "conditioning"],
            inputs=[
                kinds.model_input(),
                kinds.CompositeType.Input(
                    "composite", tooltip="From DreamActor Composite or DreamActor Motion Mask."
                ),
            ],
            outputs=[kinds.output(kinds.ContextType, "context")],
        )

    @classmethod
    def execute(cls, model, composite) -> io.NodeOutput:
        from .host.context import encode

        return io.NodeOutput(encode(model, composite))
