"""The whole method in one node, and something to try it on."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.puppets.body_plan import BODY_PLANS
from . import kinds


class DreamActorExample(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorExample",
            display_name="DreamActor Example",
            category=kinds.MENU,
            description="Draws two puppets that the embedded model has never seen: a picture of "
            "one, and two seconds of the other in motion, with its keypoints. No file is needed.",
            search_aliases=["dreamactor", "demo", "test clip", "puppet", "sample input"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=["random", *BODY_PLANS],
                    default="random",
                    tooltip="Name of the body plan of the character in the reference.",
                ),
                kinds.seed_input(
                    "Number of the pair: another seed, other puppets and another motion."
                ),
            ],
            outputs=[
                kinds.output(io.Image, "reference", "One picture, 256 x 256 pixels."),
                kinds.output(io.Image, "driving", "16 frames of motion."),
                kinds.output(kinds.Keypoints, "keypoints", "The driver's, one entry a frame."),
                kinds.output(io.Float, "fps", "Rate of driving, in frames per second."),
                kinds.output(io.String, "caption", "A prompt: who does what."),
            ],
        )

    @classmethod
    def execute(cls, kind, seed) -> io.NodeOutput:
        from ..dreamactor_core.puppets.example import example
        from ..dreamactor_core.puppets.world import FPS

        reference, driving, keypoints, caption = example(seed, None if kind == "random" else kind)
        return io.NodeOutput(reference, driving, keypoints, FPS, caption)


class DreamActorAnimate(io.ComfyNode):
    # From 0.19 on the host shows what the node shows when its result comes from the cache, too.
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorAnimate",
            display_name="DreamActor Animate",
            category=kinds.MENU,
            description="Makes the character of the reference perform the motion of the driving "
            "video. Takes any size, rate and length; gives a video with the driver's frames, "
            "times and sound. Without a LoRA on the model it takes the one that lies beside it: "
            "pose-based when keypoints are wired, or when the embedded model finds a person in the "
            "driving video, else end-to-end. Says below who read reference and driver.",
            search_aliases=["dreamactor", "character animation", "animate", "motion transfer"],
            inputs=[
                kinds.model_input(),
                io.Image.Input("reference", tooltip="One picture of the character, of any size."),
                kinds.driving_input(),
                kinds.prompt_input(),
                kinds.seed_input(),
                *kinds.sampling_inputs(),
                kinds.fps_input(),
                kinds.Keypoints.Input(
                    "keypoints",
                    optional=True,
                    tooltip="OpenPose keypoints of the driving video, one entry for each of its "
                    "frames: the pose-based variant is used.",
                ),
                *kinds.guide_inputs("of the reference's aspect in pixels"),
                *kinds.part_inputs(optional=True),
                *kinds.painting_inputs(),
                *kinds.reading_inputs(),
            ],
            outputs=[
                kinds.output(
                    io.Video,
                    "video",
                    "As many frames, as long and with the same sound as the driver.",
                ),
                kinds.output(io.Image, "frames", "Those of the video, up to 1 GB of them."),
                kinds.output(
                    io.Float,
                    "fps",
                    "Their rate, in frames per second; the average of a variable one.",
                ),
                kinds.output(
                    io.Mask,
                    "mask",
                    "Of frames, 0 to 1: 1 (white) is the character over a transparent background; "
                    "over any other all is white.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        reference,
        driving,
        prompt,
        seed,
        steps,
        cfg,
        driving_cfg,
        fps,
        keypoints=None,
        reference_keypoints=None,
        reference_mask=None,
        size=None,
        start=None,
        length=None,
        painter=None,
        background=None,
        scene=None,
        strict=None,
        driving_person=None,
        download=None,
    ) -> io.NodeOutput:
        from ..dreamactor_core.sampling import SampleSettings
        from .host.animate import DrivingPart, Given, PaintedBy, ReadOptions, animate
        from .host.guides import GuideInputs
        from .host.video import driving_of

        settings = SampleSettings(
            num_inference_steps=steps or None,
            guidance_scale=cfg or None,
            driving_guidance_scale=driving_cfg,
            seed=seed,
        )
        given = Given(prompt, keypoints, GuideInputs(reference_keypoints, reference_mask))
        behind = background or "reference"
        if scene is not None:
            behind = driving_of(scene, fps, "scene").clip
        part = DrivingPart(start or 0.0, length or 0.0, size or 0, driving_person or 0)
        painting = PaintedBy(painter or "auto", behind)
        options = ReadOptions(bool(strict), bool(download))
        driver = driving_of(driving, fps, "driving frames")
        made = animate(model, reference, driver, given, settings, part, painting, options)
        return io.NodeOutput(made.video, made.frames, made.fps, made.mask, ui=made.ui)
