"""Who draws a video: the model's network, or scissors (mini/skeletal)."""

from __future__ import annotations

import math

from ..errors import InputError
from ..models import Animator
from ..models.skeletal import Skeletal
from .inputs import Inputs
from .job import Job

FINEST_PANEL = 1024  # pixels of the longer side of a panel, if no size is asked for
COARSEST_PANEL = 256  # a smaller picture is drawn so large
LOWEST_RATE, HIGHEST_RATE = 24.0, 30.0  # frames a second


def with_painter(animator: Animator, inputs: Inputs, job: Job) -> tuple[Animator, Inputs]:
    """The animator that draws this job, and inputs that hold all it is told of the reference, if
    they come from read_bodies.

    Cut out is that of which a model that moves cut-outs anyway knows joints and outline; what is to
    be moved as a whole; and what is to stand on another ground, or is to be cut out, whatever is
    known: then its eye says the rest. Raises InputError where a model cannot do what is asked for.
    """
    if animator.painter == "cutout":
        return animator, inputs
    asked = job.painter == "cutout" or not job.behind.is_reference
    if job.painter == "network" or animator.eye is None:
        if asked:
            raise _cannot(animator, job)
        return animator, inputs
    guides = inputs.guides
    is_rigid = inputs.reading is not None and inputs.reading.rigid is not None
    whole = guides is not None and guides.joints is not None and guides.mask is not None
    if not (whole or is_rigid):
        if not asked:
            return animator, inputs
        guides = animator.eye.seen(inputs.reference, guides)
    rate = cutout_rate(float(inputs.clip.fps))
    panel = cutout_panel(*inputs.reference.shape[1:3])
    return Skeletal(animator, rate, panel, job.behind.frames), inputs._replace(guides=guides)


def cutout_rate(fps: float) -> float:
    """Frames a second for a driver of fps: his own, or as many times more or fewer, between
    LOWEST_RATE and HIGHEST_RATE if that can be."""
    for times in range(1, 1 + math.ceil(max(LOWEST_RATE / fps, fps / LOWEST_RATE, 1))):
        for rate in (fps * times, fps / times):
            if LOWEST_RATE - 0.1 <= rate <= HIGHEST_RATE:
                return rate
    return HIGHEST_RATE


def cutout_panel(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the panel for a picture: its own, even, within the two bounds above."""
    longer = max(height, width)
    scale = min(max(longer, COARSEST_PANEL), FINEST_PANEL) / longer
    return 2 * max(1, round(height * scale / 2)), 2 * max(1, round(width * scale / 2))


def _cannot(animator: Animator, job: Job) -> InputError:
    what = "painter" if job.behind.is_reference else "background"
    network = job.painter == "network"
    return InputError(
        what,
        got=repr(str(getattr(job, what))),
        need="a reference that is cut out" if network else "a model that cuts the reference out",
        fix="Leave it away, or choose the painter cutout."
        if network
        else f"Leave it away, or use the embedded model; {animator.name} paints whole pictures.",
    )
