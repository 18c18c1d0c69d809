"""The one-node graph: the road of the command line, with ComfyUI's inputs at its beginning."""

from __future__ import annotations

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy_api.latest import InputImpl
from torch import Tensor

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.jobs.job import Job
from ...dreamactor_core.jobs.run import animate_file, passes_of, read_inputs
from ...dreamactor_core.media import probe
from ...dreamactor_core.pose.keypoints import parse_keypoints
from ...dreamactor_core.sampling import SampleSettings
from .files import LoraChoice
from .guides import GuideInputs
from .preview import driver_beside, player_of
from .progress import sampling_progress
from .video import audible, driving_of, temp_file
from .weights import ALL, Model, ready, with_lora, with_room


def animate(
    model: Model,
    reference: Tensor,
    driving: object,
    prompt: str,
    settings: SampleSettings,
    fps: float,
    keypoints: list[dict] | None,
    guides: GuideInputs,
) -> tuple[InputImpl.VideoFromFile, dict]:
    """The video, which lies in the temp folder, and what the player shows of it.

    Raises InputError as jobs.read_inputs and jobs.animate_file do.
    """
    variant = "end-to-end" if keypoints is None else "pose-based"
    model = _of_variant(model, variant)
    result = temp_file(".mp4")
    job = Job(
        reference=reference.cpu(),
        driving=audible(driving_of(driving, fps, "driving frames")),
        output=result.path,
        variant=variant,
        keypoints=None if keypoints is None else parse_keypoints(keypoints),
        prompt=prompt,
        settings=settings,
        reference_keypoints=guides.pose(),
        reference_mask=guides.mask,
    )
    geometry = model.geometry
    model.animator.check(job)
    inputs = read_inputs(job)
    passes = passes_of(model.animator, inputs)
    height, width = geometry.panel

    def work() -> None:
        animator = ready(model, ALL, geometry.num_frames * height * 2 * width)
        animate_file(animator, job, inputs, on_step=sampling_progress(animator, passes))

    with_room(work)
    throw_exception_if_processing_interrupted()
    info = probe(result.path)
    shown = player_of(reference, driver_beside(job.driving, info), result, info)
    return InputImpl.VideoFromFile(str(result.path)), shown


def _of_variant(model: Model, variant: str) -> Model:
    """The model as it is, or with the LoRA of this variant that lies beside it."""
    if not model.weights.source.takes_loras:
        return model
    if not model.loras:
        return with_lora(model, LoraChoice(variant, None), 1.0)[0]
    got = model.loras[0].info.variant
    if got != variant:
        wired = "no keypoints" if variant == "end-to-end" else "keypoints"
        raise InputError(
            "LoRA on the model",
            got=f"one of the {got} variant and {wired}",
            need=f"the {variant} one, which goes with {wired}",
            fix="Choose the other LoRA, or wire keypoints for pose-based and none for end-to-end.",
        )
    return model
