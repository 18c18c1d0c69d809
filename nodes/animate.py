"""The whole method in one node, and something to try it on."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.puppets.body_plan import BODY_PLANS
from .kinds import (
    MENU,
    Keypoints,
    driving_input,
    fps_input,
    guide_inputs,
    model_input,
    prompt_input,
    sampling_inputs,
    seed_input,
)


class DreamActorExample(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorExample",
            display_name="DreamActor Example",
            category=MENU,
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
                seed_input("Number of the pair: another seed, other puppets and another motion."),
            ],
            outputs=[
                io.Image.Output(
                    "reference", display_name="reference", tooltip="One picture, 256 x 256 pixels."
                ),
                io.Image.Output("driving", display_name="driving", tooltip="16 frames of motion."),
                Keypoints.Output(
                    "keypoints",
                    display_name="keypoints",
                    tooltip="The driver's, one entry a frame.",
                ),
                io.Float.Output(
                    "fps", display_name="fps", tooltip="Rate of driving, in frames per second."
                ),
                io.String.Output(
                    "caption", display_name="caption", tooltip="A prompt: who does what."
                ),
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
            category=MENU,
            description="Makes the character of the reference perform the motion of the driving "
            "video. Takes any size, rate and length; gives a video with the driver's frames, "
            "times and sound. Without a LoRA on the model it takes the one that lies beside it: "
            "pose-based when keypoints are wired, else end-to-end.",
            search_aliases=["dreamactor", "character animation", "animate", "motion transfer"],
            inputs=[
                model_input(),
                io.Image.Input("reference", tooltip="One picture of the character, of any size."),
                driving_input(),
                prompt_input(),
                seed_input("Number of the noise to start from: the same seed, the same video."),
                *sampling_inputs(),
                fps_input(),
                Keypoints.Input(
                    "keypoints",
                    optional=True,
                    tooltip="OpenPose keypoints of the driving video, one entry for each of its "
                    "frames: the pose-based variant is used.",
                ),
                *guide_inputs("of the reference's aspect in pixels"),
            ],
            outputs=[
                io.Video.Output(
                    "video",
                    display_name="video",
                    tooltip="As many frames, as long and with the same sound as the driver.",
                )
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
    ) -> io.NodeOutput:
        from ..dreamactor_core.sampling import SampleSettings
        from .host.guides import GuideInputs
        from .host.whole import animate

        settings = SampleSettings(
            num_inference_steps=steps,
            guidance_scale=cfg,
            driving_guidance_scale=driving_cfg,
            seed=seed,
        )
        guides = GuideInputs(reference_keypoints, reference_mask)
        video, ui = animate(model, reference, driving, prompt, settings, fps, keypoints, guides)
        return io.NodeOutput(video, ui=ui)
