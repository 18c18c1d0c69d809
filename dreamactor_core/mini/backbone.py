"""The small model: a puppeteer of pairs of frames, so that it runs on any machine.

It draws each frame by itself, from the reference and the driver at that time: 16x16 tokens of 8x8
pixels a panel, and every pixel of the reference in reach of every pixel of the answer. All frames
at once would be 13,000 tokens. Four things make a frame:

    the eye      (eye.py)      joints of reference and driver, and which part of the body each pixel
                               of the reference shows; a broad one beside it looks at what the
                               network is not to draw
    the rig      (rig.py)      carries the driver's pose over to the reference's bones
    the network  (network.py)  HunyuanVideo-1.5's blocks: reads all of that, and says which pieces
                               show where, and what is drawn anew
    the brush    (brush.py)    moves the pieces to where the joints are

It is a regressor: noise and its level are not read, and of any number of steps the first says it
all. A larger picture is read at the size that was learned, and painted as fine as it is: a piece
that is cut out and moved is as sharp as the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..backbones import Context, Text
from ..backbones.hunyuan15 import HunyuanLayout
from ..geometry import Geometry
from ..media import content_box, fit, to_uint8
from ..options import ONE_STEP
from ..pose.guides import Guides, Recognised
from .brush import LayerShares, answer_channels, blend, magnify
from .clean import velocity_to
from .conditioning import CONDITIONING_CHANNELS, conditioning
from .cutout import CutOut, cut_out
from .eye import Eye
from .figures import joints_of_figures
from .found import guides_found
from .guides import INSIDE, guided
from .network import Grid, MiniTransformer3DModel
from .panels import (
    Panels,
    all_tokens,
    drawn_cells,
    frame_pairs,
    magnification,
    not_black,
    panels_of,
    reduced,
    reduced_frame,
    with_driver_mean,
)
from .poses import estimate_poses
from .recognise import is_sure_of, recognise_reference
from .rig import DrivingClip
from .second_look import look_closer
from .sight import look_by_surest
from .text import ByteTextEncoder
from .vae import GROUP, PATCH, MiniVAE, join_frames

AT_ONCE = 8  # frames that are painted together, as large as those that were learned: memory

# Where the network is told that tokens of a pair (2, h', width) are: another grid, and the tokens'
# indices in that.
Layout = Callable[[Grid, Tensor], tuple[Grid, Tensor]]


def side_by_side(grid: Grid, tokens: Tensor) -> tuple[Grid, Tensor]:
    """Where they are."""
    return grid, tokens


class Painting(NamedTuple):
    latents: Tensor  # (b, c, t', h', width) clean latents
    layers: LayerShares | None  # of the frames that have a driver; None if no frame has one


class MiniBackbone(HunyuanLayout):
    """The protocol of backbones/__init__.py on pairs of frames. Calls leave nothing behind."""

    transformer: MiniTransformer3DModel
    vae: MiniVAE
    text_encoder: ByteTextEncoder

    defaults = ONE_STEP
    predicts_clean = True

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        transformer: MiniTransformer3DModel,
        vae: MiniVAE,
        text_encoder: ByteTextEncoder,
        layout: Layout = side_by_side,
    ):
        super().__init__(name, geometry, transformer, vae, text_encoder)
        # They learn by themselves, see train/mini/eye.py and train/mini/rig.py.
        for part in (transformer.eye, transformer.rig):
            part.requires_grad_(False)
        self.broad_eye = transformer.eye  # the same, where a model has none
        self.grid_of = layout
        self.guides: Guides | None = None

    @staticmethod
    def network_channels(latent: int) -> tuple[int, int]:
        code = latent // GROUP
        return 2 * code + 1 + CONDITIONING_CHANNELS, answer_channels(code)

    @property
    def eyes(self) -> tuple[Eye, ...]:
        """The network's own and, if there is one, the broad one, see mini/eye.py."""
        own = self.transformer.eye
        return (own,) if self.broad_eye is own else (own, self.broad_eye)

    def told(self, guides: Guides) -> MiniBackbone:
        """The same weights, told what the reference shows."""
        other = copy(self)
        other.guides = guides
        return other

    @torch.inference_mode()
    def seen(self, reference: Tensor, guides: Guides | None) -> Guides:
        """Joints and outline in a reference (1, h, w, 3) in [0, 1], in its pixels: what guides
        tell, and what they do not as the eye finds it."""
        height, width = reference.shape[1:3]
        times = self._times(*self.geometry.panel)
        panel = tuple(side // times for side in self.geometry.panel)
        box = content_box(height, width, *panel)
        found = self.transformer.eye.averaged(self._pictures(fit(reference[0], *panel)[None]))
        return guides_found(found, guides or Guides(height, width), box)

    @torch.inference_mode()
    def watch(self, frames: Iterable[Tensor]) -> np.ndarray:
        """Joints (t, 2, 18, 3) in frames (h, w, 3) in [0, 1]: x, y in pixels and confidence; one
        body alone is there twice, and is looked at again from nearer."""
        joints = []
        for image, panel in map(self._shown, frames):
            sight = look_by_surest(self.eyes, image, panel)
            found, mask = sight.joints(), sight.body(*image.shape[:2])
            if not sight.seen.two_bodies[0] > 0 and (mask >= INSIDE).any():
                found[..., :2] = look_closer(sight.eye, image, mask, found[0])
            joints.append(found)
        return np.stack(joints)

    def _shown(self, frame: Tensor) -> tuple[np.ndarray, Tensor]:
        """A frame (h, w, 3) in [0, 1] as it is, uint8, and as large as the eye is to see it."""
        return to_uint8(frame), reduced_frame(frame, self._times(*frame.shape[:2]))

    def _times(self, height: int, width: int) -> int:
        """How many times larger a picture is than those that the eye has learned from."""
        learned = self.transformer.config.target_size // PATCH
        return magnification(height // PATCH, width // PATCH, learned)

    def _pictures(self, frames: Tensor) -> Tensor:
        """(n, h, w, 3) in [0, 1] -> (n, 3, h, w) in [-1, 1]."""
        return (2 * frames.movedim(-1, 1) - 1).to(self.transformer.eye.dtype)

    def recognise(
        self,
        picture: Tensor,
        panel: Tensor,
        told: Guides | None,
        is_alpha: bool,
        people: bool = True,
    ) -> Recognised:
        """What a reference shows; see mini/recognise.py."""
        small = reduced_frame(panel, self._times(*panel.shape[:2]))
        return recognise_reference(self.eyes, picture, small, told, is_alpha, people)

    def is_sure_of(self, frames: Sequence[Tensor]) -> bool:
        """Whether an eye knows the body in most of some frames (h, w, 3) in [0, 1]."""
        return is_sure_of(self.eyes, map(self._shown, frames))

    def figures(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """See mini/figures.py."""
        return joints_of_figures(self.eyes, frames)

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """Composite latents (b, c, t', h', 2w') and mask (t, h, 2w, 1), 1 = known -> network input:
        unknown cells are zero, and the right of frame 0 holds the mean of the driver."""
        return self.summarise(super().context(latents, known), latents.chunk(2, dim=-1)[1])

    def summarise(self, context: Context, driving: Tensor) -> Context:
        """Context with the mean of driving (b, c, t', h', w'), a whole clip of which the context
        may hold a few frames alone. See with_driver_mean."""
        return with_driver_mean(context, driving, self.vae.black(driving))

    def velocity(self, latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
        """d(latents)/d(sigma) on the straight way to what paint() says.

        latents (b, c, t', h', width) and sigma, (b,) or scalar in [0, 1], tell where on that way
        they are, and nothing to the network. A context or text of batch 1 serves all latents.
        """
        return velocity_to(self.paint(context, text).latents, latents, sigma)

    def paint(
        self,
        context: Context,
        text: Text,
        *,
        tokens: Tensor | None = None,
        clip: DrivingClip | None = None,
    ) -> Painting:
        """The clean latents; nothing new of frame 0, nor of a frame without a driver, as those of
        the lead-in: it is the reference standing still. Differentiable. A context or text of batch
        1 serves the other's whole batch.

        tokens: (b, t' - 1, k), which cells of a pair (2, h', width) the network is to read and draw
        in each group of frames. Most cells of a picture are background: training may leave them
        out. None: all. clip: where the frames are a few of a clip.
        """
        context, text = _of_one_batch(context, text)
        panels = panels_of(context)
        samples, channels, count, height, width = panels.drawn.shape
        shown = torch.ones(samples, count, dtype=torch.bool, device=context.latents.device)
        if panels.has_driver:
            shown = not_black(panels.driver - self.vae.black(panels.driver))
        change = context.latents.new_zeros(samples * count, channels, height * width)
        layers = None
        if shown.any():
            if tokens is not None:
                tokens = tokens.repeat_interleave(GROUP, dim=1)[shown]
            made, layers = self._paint_shown(context, text, panels, shown, tokens, clip)
            cells = layers.cells[:, None].expand_as(made)
            change[layers.frames] = change[layers.frames].scatter(2, cells, made)
        change = change.view(samples, count, channels, height, width).transpose(1, 2)
        right = context.latents.shape[-1] - width
        change = pad(join_frames(change), (0, right, 0, 0, 1, 0))
        return Painting(change + context.latents[:, :, :1], layers)

    def _paint_shown(
        self,
        context: Context,
        text: Text,
        panels: Panels,
        shown: Tensor,
        tokens: Tensor | None,
        clip: DrivingClip | None,
    ) -> tuple[Tensor, LayerShares]:
        """Of frames that are shown (b, t), n of them, with tokens (n, k) or all of them: how the
        codes of what is drawn differ from the reference's, (n, c / 4, l).

        The network reads the composite at the size that it has learned from; what it says is then
        enlarged, and the pieces are cut out of the reference as it is.
        """
        picture = self.vae.picture(panels.reference)
        height, width = panels.reference.shape[2:]
        times = self._times(height * PATCH, width * PATCH)
        if times > 1:
            context = reduced(context, times, self.vae)
            panels = panels_of(context)
        height, width = panels.reference.shape[2:]
        guide = None
        if self.guides is not None:
            guide = partial(guided, guides=self.guides, times=times)
        poses = estimate_poses(self.transformer, self.vae, panels, shown, clip, guide)
        with torch.no_grad():
            read = conditioning(poses, height, width)
            cutout = cut_out(picture, poses.reference).posed(poses.sample, times * poses.goal)
        pairs = frame_pairs(context)[shown.flatten()]
        pairs = torch.cat([pairs, read.to(pairs)], dim=1)
        grid = tuple(pairs.shape[2:])
        if tokens is None:
            tokens = all_tokens(grid, width).to(pairs.device)
        words, mask = (part[poses.sample] for part in _without_padding(text))
        words = words.to(self.transformer.dtype)
        answers = self.transformer(*self._read(pairs, tokens), words, mask).to(pairs.dtype)
        drawn, cells = drawn_cells(tokens.expand(len(pairs), -1), grid, width)
        answers = answers.transpose(1, 2)[drawn].view(*cells.shape, -1).transpose(1, 2)
        if times == 1:
            made, log_shares = blend(answers, cells, cutout, self.vae)
        else:
            answers = answers.unflatten(2, (height, width))
            made, log_shares, cells = self._paint_larger(answers, times, cutout)
        return made, LayerShares(shown.flatten(), cells, log_shares)

    def _read(self, pairs: Tensor, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens (k,) or (n, k) of pairs (n, channels, 2, h', width) as the network reads them,
        (n, channels, k), and their positions."""
        cells = pairs.flatten(2)
        if tokens.ndim == 1:
            read = cells[..., tokens]
        else:
            read = cells.gather(2, tokens[:, None].expand(-1, cells.shape[1], -1))
        positions = self.transformer.positions(*self.grid_of(tuple(pairs.shape[2:]), tokens))
        return read.to(self.transformer.dtype), positions

    def _paint_larger(
        self, answers: Tensor, times: int, cutout: CutOut
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As blend, for all cells of pictures so many times larger than what the answers
        (n, answer_channels, h', w') are of; and the cells."""
        every = torch.arange(times**2 * answers.shape[2:].numel(), device=answers.device)
        painted = []
        for few in torch.arange(len(answers)).split(max(1, AT_ONCE // times**2)):
            larger = magnify(answers[few], times, self.vae).flatten(2)
            cells = every.expand(len(few), -1)
            some = CutOut(*(part[few] for part in cutout))
            painted.append((*blend(larger, cells, some, self.vae), cells))
        change, log_shares, cells = (torch.cat(parts) for parts in zip(*painted, strict=True))
        return change, log_shares, cells


def _of_one_batch(context: Context, text: Text) -> tuple[Context, Text]:
    batch, device = max(len(context.latents), len(text.prompt_embeds)), context.latents.device
    return (
        Context(*(part.expand(batch, *part.shape[1:]) for part in context)),
        Text(*(part.to(device).expand(batch, *part.shape[1:]) for part in text)),
    )


def _without_padding(text: Text) -> tuple[Tensor, Tensor]:
    """Embeddings of prompts and their mask. Padding is cut off where all prompts are equally long,
    and left to be masked where they are not."""
    counts = text.prompt_embeds_mask.sum(dim=1)
    longest = int(counts.max())
    if longest != int(counts.min()):
        return text.prompt_embeds, text.prompt_embeds_mask
    return text.prompt_embeds[:, :longest], text.prompt_embeds_mask[:, :longest]
