"""A backbone that knows the answer, so that the whole method can be checked without weights."""

from __future__ import annotations

import torch

from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.tokens import PANELS
from dreamactor_core.composite import known_latents
from dreamactor_core.geometry import Geometry
from dreamactor_core.options import ONE_STEP

SIDE, STRIDE, GROUP = 4, 2, 4


class Oracle:
    """An exact codec (pixels folded into channels) and a velocity that knows the answer.

    The answer on the left is the mean of the reference, read from frame 0 of the left panel, and
    the driving frame beside it, plus `offset` for each byte of the prompt. What is known on the
    left stays. On the right it is nonsense, to be cropped.
    """

    name, blank, offset, step_distilled = "oracle", "zero", 1 / 64, False
    defaults = ONE_STEP
    layout = PANELS
    geometry = Geometry(
        latent_channels=3 * STRIDE * STRIDE * GROUP,
        spatial_stride=STRIDE,
        size_multiple=STRIDE,
        temporal_stride=GROUP,
        fps=8,
        num_frames=25,
        panel=(SIDE, SIDE),
    )

    def __init__(self):
        self.contexts = []  # every context made: (frames (t, h, 2w, 3), pixel mask)
        self.calls = 0

    def encode_video(self, frames):
        self.geometry.latent_frames(frames.shape[0])
        padded = torch.cat([frames[:1].expand(GROUP, -1, -1, -1), frames[1:]])
        x = padded.unflatten(0, (-1, GROUP)).permute(0, 1, 4, 2, 3).flatten(1, 2)
        return torch.nn.functional.pixel_unshuffle(x, STRIDE).transpose(0, 1)[None]

    def decode_video(self, latents):
        x = torch.nn.functional.pixel_shuffle(latents[0].transpose(0, 1), STRIDE)
        frames = x.unflatten(1, (GROUP, 3)).permute(0, 1, 3, 4, 2).flatten(0, 1)
        return frames[GROUP - 1 :]

    def encode_text(self, prompts, reference):
        assert reference.shape == (1, SIDE, SIDE, 3)
        embeds = torch.tensor([[[float(len(prompt))]] for prompt in prompts])
        empty = torch.zeros(1, 0, 1)
        return Text(embeds, torch.ones(1, 1), empty, empty[..., 0], empty)

    def context(self, latents, known):
        mask = known_latents(known, GROUP, *latents.shape[-2:])
        self.contexts.append((self.decode_video(latents * mask), known))
        return Context(latents * mask, mask)

    def velocity(self, latents, sigma, context, text):
        self.calls += 1
        frames = self.decode_video(context.latents)
        known = self.decode_video(context.known.expand_as(context.latents))
        answer = torch.full_like(frames, 77.0)
        drawn = (frames[:1, :, :SIDE] + frames[:, :, SIDE:]) / 2
        drawn = drawn + self.offset * text.prompt_embeds.sum()
        answer[:, :, :SIDE] = torch.where(known[:, :, :SIDE] == 1, frames[:, :, :SIDE], drawn)
        return (latents - self.encode_video(answer)) / sigma
