"""One context for training and inference: a training example is the composite of inference, built
from pixels by the same code, and the answer to it.

    context     frame 0             [ reference |  black  ]    known on the left
                1..lead-1           [   blank   |  black  ]    the lead-in, at every length, or
                1..p                [  target   | driving ]    a known prefix in its place
                then                [   blank   | driving ]    what the model draws
    answer                          [  target   |  as above ]

Both are encoded as one picture, both panels together: an autoencoder is causal in time and looks
around in space, so latents of the parts are not the parts of the latents. (In the layouts of tokens
each panel is a picture, here as at inference.) What is drawn anew:

    text dropout                            derived exactly: the empty prompt is encoded beside
    window, prefix, kept pixels,            part of the pixels, so drawn before encoding: in every
    missing driver, variation of the pose   variant of a clip that a cache holds (store.py)
    noise and noise level                   drawn at every step
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..animate import OVERLAP, composite_latents, encode_panels, without_driving
from ..backbones import Backbone, Text
from ..composite import Composite, Known, build_composite, crop_target, known_latents
from ..errors import InputError
from ..geometry import Geometry


@dataclass(frozen=True)
class Draws:
    """How often an example differs from the plain first pass; probabilities, 0 to 1.

    There is no dropout of the reference: at inference nothing is ever drawn without one.
    """

    driving_dropout: float = 0.05  # the black driver of driving guidance
    prefix: float = 0.3  # a later pass of a long video
    keep: float = 0.1  # pixels of the scene that stay (Motion Mask)

    def __post_init__(self):
        for name in ("driving_dropout", "prefix", "keep"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    name, got=getattr(self, name), need="a probability, 0 to 1", fix="Correct it."
                )


class Pair(NamedTuple):
    """Frames of one stretch of time at the model's rate, on its panels: uint8, or in [0, 1]."""

    target: Tensor  # (t, h, w, 3)
    driving: Tensor  # (t, h, w, 3) what the right panel shows; frames before `since` mean nothing
    prompt: str
    since: int = 0  # the first frame that has a driver; a bootstrapped one begins after its lead-in


class TrainingExample(NamedTuple):
    composite: Composite  # as inference builds it; blank pixels are painted when it is encoded
    answer: Tensor  # (t, h, 2w, 3) the same with the target on the left
    prompt: str


class EncodedExample(NamedTuple):
    """An example as a cache holds it."""

    latents: Tensor  # (1, c, t', h', 2w') of the composite, what backbone.context is given
    answer: Tensor  # (1, c, t', h', 2w')
    known: Tensor  # (t, h', 2w', 1) uint8: the composite's mask, a value a latent cell
    text: Text  # of the prompt, with the reference's image stream


def draw_example(
    pair: Pair, num_frames: int, draws: Draws, geometry: Geometry, rng: np.random.Generator
) -> TrainingExample:
    """A window of num_frames = 4k + 1 frames of a pair, reference slot and lead-in included.

    The window begins anywhere; its first frame is the reference, or with a known prefix the clip's
    own first frame, which is then long past. Raises InputError for a pair that is too short.
    """
    stride = geometry.temporal_stride
    lead = geometry.lead_frames()
    last = len(pair.target) - num_frames  # the latest start
    first = len(pair.target) - usable_frames(pair, geometry)
    _check_length(pair, num_frames, lead + stride, first)
    first_prefixed = max(0, pair.since - 1)
    prefixed = rng.random() < draws.prefix and first_prefixed <= last
    start = int(rng.integers(first_prefixed if prefixed else first, last + 1))
    window = slice(start + 1, start + num_frames)
    reference = _float(pair.target[:1] if prefixed else pair.target[start : start + 1])
    target, driving = _float(pair.target[window]), _float(pair.driving[window])
    before = OVERLAP if prefixed else lead - 1
    scene = keep = None
    if rng.random() < draws.keep:
        keep = _random_box(rng, *target.shape[1:3]).expand(len(target) - before, -1, -1, 1)
        scene = target[before:]
    composite = build_composite(
        reference,
        driving[before:],
        lead_in=lead,
        known=Known(
            target[:before] if prefixed else None,
            driving[:before] if prefixed else None,
            scene,
            keep,
        ),
        temporal_stride=stride,
    )
    if rng.random() < draws.driving_dropout:
        composite = without_driving(composite)
    right = composite.frames[:, :, target.shape[2] :]
    answer = torch.cat([torch.cat([reference, target]), right], dim=2)
    return TrainingExample(composite, answer, pair.prompt)


def usable_frames(pair: Pair, geometry: Geometry) -> int:
    """Of the longest window: a driver that begins late may do so during the lead-in."""
    lead = geometry.lead_frames()
    return len(pair.target) - max(0, pair.since - lead)


@torch.no_grad()
def encode_example(backbone: Backbone, example: TrainingExample) -> EncodedExample:
    """By the backbone's own encoders, on the device where they are."""
    composite = example.composite
    latents = composite_latents(backbone, composite)
    height, width = latents.shape[-2:]
    cells = known_latents(composite.known, 1, height, width)[0, 0]  # (t, h', 2w')
    return EncodedExample(
        latents=latents,
        answer=encode_panels(backbone, example.answer),
        known=cells[..., None].to(torch.uint8),
        text=backbone.encode_text([example.prompt], crop_target(composite.frames[:1])),
    )


def flow_target(answer: Tensor, latents: Tensor, known: Tensor) -> Tensor:
    """The clean latents of flow matching, (b, c, t', h', 2w').

    answer and latents as in EncodedExample; known: (b, m, t', h', 2w'), the context's mask, 1 =
    known.
    Unknown cells are the answer's. Known ones are the condition itself: that is what the base was
    trained to answer there, hence what the sampler's latents hold there at inference, and nothing
    of the answer that the autoencoder has spread into them can be read off the noisy input.
    """
    return torch.where(known.amin(dim=1, keepdim=True) == 1, latents, answer)


def _check_length(pair: Pair, num_frames: int, least: int, first: int) -> None:
    length = len(pair.target)
    if num_frames < least:
        raise InputError(
            "frames of a training window",
            got=num_frames,
            need=f"at least {least}: the lead-in of one second and a latent to draw",
            fix="Train on longer windows.",
        )
    if length - num_frames < first:
        raise InputError(
            "training clip",
            got=f"{length} frames, with a driver from frame {pair.since} on",
            need=f"at least {num_frames + first}",
            fix="Use longer clips, or shorter windows.",
        )


def _float(frames: Tensor) -> Tensor:
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames


def _random_box(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """(height, width, 1): 1 inside or outside a random box, where pixels of the scene stay."""
    y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
    mask = torch.zeros(height, width, 1)
    mask[y[0] : y[1], x[0] : x[1]] = 1
    return mask if rng.random() < 0.5 else 1 - mask
