"""The small model: HunyuanVideo-1.5's network over pairs of frames, so that it runs on any machine.

    pair t    [ reference | - ] [ frame t, to be drawn | driver at t ]      t = 1 .. 4 (t' - 1)

A latent is the codes of four frames side by side (mini_vae.split_frames), so each frame can be
drawn by itself: 16x16 tokens of 8x8 pixels a panel, and every pixel of the reference in reach of
every pixel of the answer. All frames at once would be 13,000 tokens. What one frame cannot tell,
where the driver stands on the whole, comes in where noise would: the noisy channels of the
driver hold the mean of the driving clip. There is no noise to be read, for it is a regressor.

Three things are done around the network, which is too small to learn them in the time it has:

    the eye    (mini_eye.py)    tells where the joints of reference and driver are, and which piece
                                of the body each pixel of the reference shows
    the rig    (mini_rig.py)    carries the driver's pose over to the reference's bones
    the brush  (mini_brush.py)  completes the pieces and moves them to where those joints are

A larger picture is read at the size that was learned, and painted as fine as it is: a piece that is
cut out and moved is as sharp as the reference.

Every token reads what the eye saw there, all joints, and where it stands itself: rotary embedding
tells how far two tokens are apart, but what is attended to does not tell where it is.
"""

from __future__ import annotations

import math
from functools import wraps

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video15 import HunyuanVideo15RotaryPosEmbed
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, max_pool3d, pad

from ..backbones import Context, Text
from ..backbones.hunyuan15 import HunyuanVideo15Backbone, JointAttention
from .brush import BETWEEN, Body, Brush, Painted, complete, fill, winged
from .eye import JOINTS, Eye, Seen
from .rig import HIP, Clip, Rig
from .vae import GROUP, PATCH, join_frames, split_frames

WAVES = 4
PLACE_CHANNELS = 2 * (1 + 2 * WAVES) + 3
EDGE = 2  # pixels
AT_ONCE = 8  # frames that the brush paints, as large as those that were learned: memory
TOLD_CHANNELS = 3 * 2 * JOINTS + 2 * JOINTS


class MiniTransformer3DModel(HunyuanVideo15Transformer3DModel):
    """The stock network that reads tokens instead of a grid, and has no weights it never uses.

    rope says where the tokens are that it is given (b, c, 1, 1, k). The streams of ByT5 and of the
    image encoder, which stay empty here, would be 5 M weights.
    """

    @wraps(HunyuanVideo15Transformer3DModel.__init__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        config = self.config
        width = config.num_attention_heads * config.attention_head_dim
        self.context_embedder_2 = self.image_embedder = NoStream(width)
        self.rope = TokenRope(
            config.patch_size, config.patch_size_t, config.rope_axes_dim, config.rope_theta
        )
        self.eye, self.rig = Eye(), Rig()
        self.attention = JointAttention()
        for block in self.transformer_blocks:
            block.attn.set_processor(self.attention)


class MiniBackbone(HunyuanVideo15Backbone):
    """The protocol of backbones/__init__.py on pairs of frames."""

    frames_per_latent = GROUP
    painted: Painted | None = None  # by the last call
    _tokens: Tensor | None = None
    _clip: Clip | None = None

    @wraps(HunyuanVideo15Backbone.__init__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        assert self.prediction_type == "residual"
        # They learn by themselves, see train/eye.py and train/rig.py.
        for part in (self.transformer.eye, self.transformer.rig):
            part.requires_grad_(False)

    @staticmethod
    def channels(latent: int) -> tuple[int, int]:
        return 2 * latent + 1 + PLACE_CHANNELS + TOLD_CHANNELS + Eye.FEATURES, Brush.answers(latent)

    def drop_padding(self) -> None:
        """Padding is never attended to, see _without_padding."""

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """As the base class; the right half of frame 0 holds the mean of the driver."""
        context = super().context(latents, known)
        return self.summarise(context, latents.chunk(2, dim=-1)[1])

    def summarise(self, context: Context, driving: Tensor) -> Context:
        """Context whose frame 0 tells the mean of driving (b, c, t', h', w').

        Black frames, which are no driver, do not count.
        """
        if not two_panels(context):
            return context
        frames = split_frames(driving)[:, :, GROUP:]
        black = self._black(frames)
        light = frames - black
        shown = _shown(light)[:, None, :, None, None].to(light)
        total = shown.sum(dim=2, keepdim=True).clamp(min=1)
        mean = (light * shown).sum(dim=2, keepdim=True) / total + black
        latents = context.latents.clone()
        latents[:, :, :1, :, -driving.shape[-1] :] = join_frames(mean.expand(-1, -1, GROUP, -1, -1))
        return Context(latents, context.known)

    def velocity(
        self,
        latents: Tensor,
        *args,
        tokens: Tensor | None = None,
        clip: Clip | None = None,
        **kwargs,
    ) -> Tensor:
        """As the base class.

        tokens: (b, t' - 1, k), which cells of a pair (2, h', 2w') the network is to read and draw.
        Most cells of a picture are background: training may leave them out. None: all but the right
        half of frame 0, which is always black. clip: of which a few frames are asked for.
        """
        self._tokens, self._clip = tokens, clip
        return super().velocity(latents, *args, **kwargs)

    def predict(
        self, latents: Tensor, sigma: Tensor, end: Tensor | None, context: Context, text: Text
    ) -> Tensor:
        """What the network says of every frame, (b, c, t', h', 2w'); nothing new of frame 0.

        Nor of a frame without a driver, as those of the lead-in: it is the reference standing
        still. The noise is not read, nor its level: it is a regressor, and of any number of steps
        the first says it all.
        """
        sigma = torch.ones_like(sigma)
        driven = two_panels(context)
        given = split_frames(context.latents)
        height, width = given.shape[3:]
        samples, count = len(latents), given.shape[2] - GROUP
        panel = width // 2 if driven else width
        channels = self.geometry.latent_channels // GROUP
        frames = latents.new_zeros(samples * count, channels, height * panel)
        asked = torch.ones(samples, count, dtype=torch.bool, device=latents.device)
        self.painted = None
        if driven:
            driver = given[:, :, GROUP:, :, panel:]
            asked = _shown(driver - self._black(driver))
        if asked.any():
            picture = self.picture(given[:, :, 0, :, :panel])
            context = self.coarser(context, self.finer(height, panel))
            given = split_frames(context.latents)
            pairs = self._pairs(context, driven)  # b * t, channels, 2, h', 2w'
            left = given.shape[4] // 2 if driven else given.shape[4]
            driver = given[:, :, GROUP:, :, left:]
            known = context.known.repeat_interleave(GROUP, dim=2)[:, 0, GROUP:, :, :left]
            kept = asked & (known == 1).flatten(2).all(dim=2)
            body, beside = self._look(picture, given[..., :left], driver, asked, kept)
            asked = asked.flatten()
            of_sample = torch.arange(samples, device=asked.device).repeat_interleave(count)[asked]
            text = Text(*(part[of_sample] for part in self._without_padding(text)))
            tokens = self._tokens
            if tokens is not None:
                tokens = tokens.repeat_interleave(GROUP, dim=1).flatten(0, 1)[asked]
            seen = torch.cat([pairs[asked], beside.to(pairs)], dim=1)
            change, painted = self._paint(seen, sigma[of_sample], end, text, tokens, body)
            self.painted = Painted(asked, *painted)
            cells = self.painted.cells[:, None].expand_as(change)
            frames[asked] = frames[asked].scatter(2, cells, change)
        frames = frames.view(samples, count, channels, height, panel).transpose(1, 2)
        return pad(join_frames(frames), (0, width - panel, 0, 0, 1, 0))

    def finer(self, height: int, width: int) -> int:
        """How many times finer a panel of so many cells is than what the network reads: it looks at
        a panel as large as those it has learned from, and the brush paints on the finer one."""
        learned = (self.transformer.config.target_size // PATCH) ** 2
        # Halved as long as that is nearer to it, and goes without a remainder.
        times = 1
        while (
            height * width >= 2 * learned * times**2 and math.gcd(height, width) % (2 * times) == 0
        ):
            times *= 2
        return times

    def coarser(self, context: Context, times: int) -> Context:
        """The same composite, so many times smaller."""
        if times == 1:
            return context
        frames = split_frames(context.latents)
        pictures = self.picture(frames.transpose(1, 2).flatten(0, 1))
        codes = self.vae.code(avg_pool2d(pictures, times).to(self.vae.dtype)).to(frames)
        frames = codes.unflatten(0, (len(frames), -1)).transpose(1, 2)
        known = -max_pool3d(-context.known, (1, times, times))
        return Context(join_frames(frames) * known, known)

    @torch.no_grad()
    def _look(
        self, picture: Tensor, left: Tensor, driver: Tensor, asked: Tensor, kept: Tensor
    ) -> tuple[Body, Tensor]:
        """References as they are to be painted (b, 3, h, w), left panels (b, c / 4, 4 + t, h', w'),
        the reference first, drivers (b, c / 4, t, h', w'), which of their frames are asked (b, t),
        n of them, and which of those are known on the left too -> the bodies (n, ...), and what is
        read beside the pairs (n, channels, 2, h', 2w'): places, joints and features.
        """
        reference = left[:, :, 0]
        sample, _ = asked.nonzero(as_tuple=True)
        height, panel = reference.shape[2:]
        pictures, eye = self.picture(reference), self.transformer.eye
        seen = eye.twice(pictures.to(eye.dtype))
        driven = driver.shape[-1] > 0
        grid = (2, height, panel * (1 + driven))
        features = seen.features.new_zeros(len(sample), eye.FEATURES, *grid)
        features[:, :, 0, :, :panel] = seen.features[sample]
        joints, spread = seen.joints[sample], seen.spread[sample]
        driver_joints, driver_spread, goal = joints, spread, joints
        if driven:
            frames = self.picture(driver.transpose(1, 2)[asked])
            of_driver = eye.twice(frames.to(eye.dtype), pieces=False)
            features[:, :, 1, :, panel:] = of_driver.features
            driver_joints, driver_spread = of_driver.joints, of_driver.spread
            poses = joints.new_zeros(*asked.shape, *of_driver.found.shape[1:])
            poses[asked] = of_driver.found
            size = PATCH * torch.tensor([panel, height]).to(poses)
            goal = self.transformer.rig(seen.found, poses, asked, size, self._clip)
            if kept.any():
                goal = self._go_on(goal, left[:, :, GROUP:], kept)
            goal = goal[asked]
        owners = [nearest_body(each, height, panel) for each in (joints, goal, driver_joints)]
        told = self._tell(grid, owners, (joints, driver_joints, goal), (spread, driver_spread))
        place = where_it_stands(grid, panel).to(told).expand(len(sample), -1, -1, -1, -1)
        beside = torch.cat([place, told, features.to(told)], dim=1)

        body = [part[sample] for part in self._take_apart(picture, seen)]
        bodies, finer = body[-1].shape[1], picture.shape[3] // pictures.shape[3]
        return Body(*body, finer * joints[:, :bodies], finer * goal[:, :bodies]), beside

    @staticmethod
    def _take_apart(pictures: Tensor, seen: Seen) -> tuple[Tensor, ...]:
        """Pictures (b, 3, h, w) and what the eye saw of them, or of smaller ones -> Body up to
        `winged`."""
        height, width = seen.features.shape[2:]
        finer = pictures.shape[3] // (PATCH * width)
        pieces = seen.pieces
        if finer > 1:
            pieces = interpolate(pieces, scale_factor=finer, mode="bilinear")
        pieces = pieces.softmax(dim=1)
        # Outlines are blurred and half the scene's: what is left in place keeps off them.
        edge = finer * EDGE
        scene = 1 - max_pool2d(1 - pieces[:, :1], 2 * edge + 1, stride=1, padding=edge)
        two = seen.several > 0
        there = torch.stack([torch.ones_like(two), two], dim=1)[:, : 1 + bool(two.any())]
        owner = nearest_body(seen.joints, height, width)[:, None]
        owner = interpolate(owner, scale_factor=finer * PATCH)
        mine = [(owner == body) | ~two.view(-1, 1, 1, 1) for body in range(there.shape[1])]
        pieces = pieces[:, None, 1:] * torch.stack(mine, dim=1)
        wings = winged(pieces)
        joints = finer * seen.joints[:, : there.shape[1]]
        pieces = complete(pictures, pieces, joints, wings, finer * BETWEEN)
        behind = fill(pictures, scene**4)
        return pictures, pieces, scene, behind, there, wings

    def _go_on(self, goal: Tensor, left: Tensor, kept: Tensor) -> Tensor:
        """The goal (b, t, 2, 18, 2), moved to go on from the frames kept (b, t) of the left panels
        (b, c / 4, t, h', w'): the tail of the pass before, whose clip had another mean."""
        eye = self.transformer.eye
        pictures = self.picture(left.transpose(1, 2)[kept])
        tail = eye.twice(pictures.to(eye.dtype), pieces=False)
        off = torch.zeros_like(goal)
        off[kept] = tail.joints - goal[kept]
        count = kept.sum(dim=1).clamp(min=1)[:, None, None]
        moved = off[..., HIP, :].mean(dim=3).sum(dim=1) / count  # b, 2, 2
        return goal + moved[:, None, :, None]

    def _tell(
        self,
        grid: tuple[int, int, int],
        owners: list[Tensor],
        joints: tuple[Tensor, ...],
        spreads: tuple[Tensor, ...],
    ) -> Tensor:
        """Joints (n, 2, 18, 2) and their spreads (n, 2, 18) as channels (n, TOLD_CHANNELS, *grid):
        in every cell those of the body that is nearest, owners (n, h', w') of the three panels."""
        reference, answer, driver = owners
        height, panel = reference.shape[1:]
        size = PATCH * torch.tensor([panel, height]).to(joints[0])
        told = [(2 * each / size - 1).flatten(2) for each in joints]
        told = torch.cat([*told, *(spread / PATCH for spread in spreads)], dim=2)
        owner = reference.new_zeros(len(reference), *grid)
        owner[:, 0, :, :panel], owner[:, 1, :, :panel] = reference, answer
        if grid[2] > panel:
            owner[:, 1, :, panel:] = driver
        first, second = told[..., None, None, None].unbind(dim=1)
        return torch.where(owner[:, None] == 0, first, second)

    @torch.no_grad()
    def picture(self, codes: Tensor) -> Tensor:
        """Codes of frames (n, c / 4, h', w') -> pictures (n, 3, h, w), before any clean-up."""
        return self.vae.uncode(codes.to(self.vae.dtype)).float()

    def _paint(
        self,
        pairs: Tensor,
        sigma: Tensor,
        end: Tensor | None,
        text: Text,
        tokens: Tensor | None,
        body: Body,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """How the codes of cells (n, l) of the answer's panel differ from the reference's,
        (n, c / 4, l), and cells and scores of Painted, from pairs (n, channels, 2, h', width). Of a
        picture finer than these, all cells."""
        grid, brush = pairs.shape[2:], Brush(self.vae)
        height, width = grid[1:]
        finer = body.picture.shape[2] // (PATCH * height)
        panel = body.picture.shape[3] // (PATCH * finer)
        if tokens is None:
            tokens = _without_black(grid, panel < width).to(pairs.device)
            seen = pairs.flatten(2)[..., tokens]
        else:
            seen = pairs.flatten(2).gather(2, tokens[:, None].expand(-1, pairs.shape[1], -1))
        rope = self.transformer.rope
        rope.grid, rope.tokens = self.places(tuple(grid), tokens)
        answers = super().predict(seen[:, :, None, None], sigma, end, (), text)[:, :, 0, 0]
        tokens = tokens.expand(len(pairs), -1)
        cells = tokens - height * width
        drawn = (cells >= 0) & (cells % width < panel)
        cells = cells[drawn].view(len(pairs), -1)
        answers = answers.transpose(1, 2)[drawn].view(*cells.shape, -1).transpose(1, 2)
        places = cells // width * panel + cells % width
        if finer == 1:
            change, scores = brush.paint(answers, places, body)
            return change, (places, scores)
        answers = answers.unflatten(2, (height, panel))
        every = torch.arange(finer**2 * height * panel, device=places.device)
        painted = []
        for few in torch.arange(len(pairs)).split(max(1, AT_ONCE // finer**2)):
            larger = brush.magnify(answers[few], finer).flatten(2)
            places = every.expand(len(few), -1)
            few_bodies = Body(*(part[few] for part in body))
            painted.append((*brush.paint(larger, places, few_bodies), places))
        change, scores, places = (torch.cat(parts) for parts in zip(*painted, strict=True))
        return change, (places, scores)

    def _black(self, like: Tensor) -> Tensor:
        """The code of a black cell, (1, c / 4, 1, 1, 1)."""
        code = self.vae.code
        black = torch.full((1, 3, PATCH, PATCH), -1.0).to(code.weight)
        return code(black)[:, :, None].detach().to(like)

    def places(
        self, grid: tuple[int, int, int], tokens: Tensor
    ) -> tuple[tuple[int, int, int], Tensor]:
        """The grid in whose terms the network is told where tokens are, and their indices there."""
        return grid, tokens

    def _pairs(self, context: Context, driven: bool) -> Tensor:
        """(b * t, 2 c / 4 + 1, 2, h', 2w'): frame 0 and one more, t = 4 (t' - 1) of them."""
        given = split_frames(context.latents)
        noisy = torch.zeros_like(given)
        known = context.known.repeat_interleave(GROUP, dim=2)
        width = given.shape[-1] // 2
        if driven:
            summary = given[:, :, :1, :, width:]
            noisy = torch.cat([noisy[..., :width], summary.expand_as(noisy[..., width:])], dim=-1)
        frames = torch.cat([noisy, given, known.to(noisy)], dim=1)
        first, rest = frames[:, :, :1], frames[:, :, GROUP:]
        pairs = torch.stack([first.expand_as(rest), rest], dim=3)  # b, channels, t, 2, h', 2w'
        return pairs.transpose(1, 2).flatten(0, 1)

    def _without_padding(self, text: Text) -> Text:
        """Padding is cut off where all prompts are equally long, and masked where they are not."""
        counts = text.prompt_embeds_mask.sum(dim=1)
        longest = int(counts.max())
        padded = longest != int(counts.min())
        self.transformer.attention.masked = padded
        if padded:
            return text
        return text._replace(
            prompt_embeds=text.prompt_embeds[:, :longest],
            prompt_embeds_mask=text.prompt_embeds_mask[:, :longest],
        )


def nearest_body(joints: Tensor, height: int, width: int) -> Tensor:
    """Joints (n, 2, 18, 2) -> (n, h', w') float: of which body a joint is nearest, 0 or 1."""
    y, x = (PATCH * (torch.arange(n, device=joints.device) + 0.5) for n in (height, width))
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    far = torch.cdist(centres.expand(len(joints), -1, -1), joints.flatten(1, 2))  # n, h' w', 36
    first, second = far.unflatten(2, (2, JOINTS)).amin(dim=3).unbind(dim=2)
    return (second < first).float().unflatten(1, (height, width))


def where_it_stands(grid: tuple[int, int, int], panel: int) -> Tensor:
    """(PLACE_CHANNELS, 2, h', width) of a pair: place in the panel, in [-1, 1] and as waves, and
    which of the three panels it is."""
    height, width = grid[1:]
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) % panel + 0.5) / panel
    along = torch.stack(torch.meshgrid(y, x, indexing="ij"))  # 2, h', width
    waves = torch.pi * along * 2 ** torch.arange(WAVES).view(-1, 1, 1, 1)
    place = torch.cat([2 * along - 1, waves.sin().flatten(0, 1), waves.cos().flatten(0, 1)])
    which = torch.zeros(3, 2, height, width)
    which[0, 0], which[1, 1, :, :panel], which[2, 1, :, panel:] = 1, 1, 1
    return torch.cat([place[:, None].expand(-1, 2, -1, -1), which])


def two_panels(context: Context) -> bool:
    """Whether a driver stands on the right: all of that half is known, whatever is to be drawn."""
    return bool((context.known.chunk(2, dim=-1)[1] == 1).all())


def _shown(light: Tensor) -> Tensor:
    """(b, c / 4, t, h', w') codes less that of black -> (b, t) bool: frames that are not black."""
    return light.abs().amax(dim=(1, 3, 4)) > 0.02


def _without_black(grid: tuple[int, int, int], driven: bool) -> Tensor:
    """Indices (k,) into a grid (2, h', 2w'): all but the right half of its first frame."""
    cells = torch.arange(2 * grid[1] * grid[2]).view(*grid)
    if not driven:
        return cells.flatten()
    return torch.cat([cells[0, :, : grid[2] // 2].flatten(), cells[1].flatten()])


class NoStream(nn.Module):
    """In place of the embedder of a stream that is always empty."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, nothing: Tensor) -> Tensor:
        """(b, 0, d) -> (b, 0, width)."""
        return nothing.new_zeros(*nothing.shape[:2], self.width)


class TokenRope(HunyuanVideo15RotaryPosEmbed):
    """Positions of the tokens that are there: `tokens` of a `grid`, one list or one a sample."""

    grid: tuple[int, int, int]
    tokens: Tensor

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, (k, d) or (b, k, d)."""
        cos, sin = super().forward(hidden_states.new_empty(1, 1, *self.grid))
        return cos[self.tokens], sin[self.tokens]
