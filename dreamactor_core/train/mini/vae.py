"""Stage 1 of the small model: its video autoencoder.

    fit_code     principal components of 8x8 patches of the puppet world, in closed form
    train_clean  the convolutions after the linear decode, on codes with a little noise, L1

The encoder is done after fit_code, so latents can be cached while train_clean still runs.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from ...media.replace import make_folder
from ...mini.vae import GROUP, PATCH, MiniVAE, group_frames
from ...pose.draw import draw_pose
from ...pose.vary import vary_pose
from ...puppets.triplet import triplet
from ..optimise import Hooks, Rhythm, Run
from .principal import Moments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VaeConfig:
    """All that decides the autoencoder; the shipped one was made with these values."""

    size: int = 128  # panel side in pixels
    num_frames: int = 25
    latent_channels: int = 384
    channels: tuple[int, ...] = (64, 48, 32)  # of the clean-up, see MiniVAE
    blocks: tuple[int, ...] = (1, 1, 1)
    code_triplets: int = 60  # triplets whose patches give the principal components
    triplets: int = 300  # triplets in memory while the clean-up trains
    steps: int = 3000
    batch_size: int = 16  # groups of four frames
    learning_rate: float = 5e-4
    noise: float = 0.2  # codes are blurred by up to this much, in latent units
    seed: int = 10_000_000  # first triplet
    save_every: int = 250


def render_videos(seed: int, config: VaeConfig) -> list[np.ndarray]:
    """Driver, truth and, for every second seed, a skeleton: uint8 (t, h, w, 3) each."""
    clips = triplet(seed, "train", config.num_frames, config.size)
    videos = [clips.driver.frames, clips.truth.frames]
    if seed % 2 == 0:
        pose = vary_pose(clips.driver.pose, np.random.default_rng(seed))
        videos.append(draw_pose(pose, config.size, config.size))
    return videos


def to_groups(video: np.ndarray) -> Tensor:
    """uint8 (t, h, w, 3) -> (t', 12, h, w) in [-1, 1], frame 0 repeated to a group of its own."""
    frames = torch.from_numpy(video).permute(3, 0, 1, 2).float() / 127.5 - 1
    return group_frames(frames[None])[0]


def train_autoencoder(
    folder: Path, config: VaeConfig, on_step: Callable[[int, float], None]
) -> None:
    """The whole stage, into folder/vae; with no steps there is no clean-up."""
    make_folder(folder)
    if (folder / "vae" / "config.json").exists():
        vae = MiniVAE.from_pretrained(folder / "vae")
    else:
        vae = fit_code(config)
        vae.save_pretrained(folder / "vae")
    if config.steps:
        train_clean(vae, config, folder, on_step)


def fit_code(config: VaeConfig) -> MiniVAE:
    """Principal components of patches."""
    moments = Moments()
    for seed in range(config.seed, config.seed + config.code_triplets):
        for video in render_videos(seed, config):
            frames = to_groups(video).unflatten(1, (GROUP, 3)).flatten(0, 1)
            patches = frames.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
            moments.add(patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * PATCH * PATCH))
    keep = config.latent_channels // GROUP
    *code, kept = moments.code(keep)
    logger.info("linear code: %d channels a frame keep %.2f %% of the variance", keep, 100 * kept)
    vae = MiniVAE(config.latent_channels, channels=(), blocks=())
    vae.set_linear_code(*(part.float() for part in code))
    vae.code.half().float()  # as it will be stored: caches made now stay valid
    return vae


def train_clean(
    vae: MiniVAE,
    config: VaeConfig,
    folder: Path,
    on_step: Callable[[int, float], None],
    guesses: list[Guess] | None = None,
) -> None:
    """Train the clean-up, a new one if there is none, save to folder/vae and append to
    folder/vae.csv.

    With guesses (see refine.py), a quarter of each batch are those instead of true codes.
    Resumes exactly from folder/vae_state.pt: a batch depends on the seed and the step alone.
    """
    start_seed = config.seed + config.code_triplets
    videos = [
        v for s in range(start_seed, start_seed + config.triplets) for v in render_videos(s, config)
    ]
    logger.info("rendered %d videos", len(videos))
    if not vae.mends:
        cleaning = MiniVAE(vae.config.latent_channels, config.channels, config.blocks)
        cleaning.load_state_dict(vae.state_dict(), strict=False)  # what is missing is new
        vae = cleaning
    vae.code.requires_grad_(False)
    vae.to(memory_format=torch.channels_last)
    learning = [p for p in vae.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, config.learning_rate)
    schedule = OneCycleLR(optimizer, config.learning_rate, config.steps, pct_start=0.05)

    def rate(step: int) -> float:
        with warnings.catch_warnings():  # when it resumes, at steps that were taken before
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            while schedule.last_epoch < step - 1:  # it sets Adam's first beta too
                schedule.step()
        return schedule.get_last_lr()[0]

    def batches(first: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for step in range(first, config.steps + 1):
            yield _batch(vae, videos, guesses, config, np.random.default_rng((config.seed, step)))

    rhythm = Rhythm(
        config.steps,
        save_steps=config.save_every,
        save_minutes=math.inf,
        checkpoint="vae_state.pt",
        curve="vae.csv",
        device="cpu",
    )
    run = Run(CleanLoss(vae), [optimizer], rhythm, folder, {})
    run.train(batches, rate, Hooks(on_step, lambda step: vae.save_pretrained(folder / "vae")))
    vae.eval()


class CleanLoss(nn.Module):
    """Mean absolute error of the cleaned pixels, the convolutions in bfloat16."""

    def __init__(self, vae: MiniVAE):
        super().__init__()
        self.vae = vae

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        z, before, truth = batch
        with torch.autocast("cpu", torch.bfloat16):
            made = self.vae.clean(z, before)
        return (made.float() - truth).abs().mean()


class Guess(NamedTuple):
    """A video and what the network takes for its code."""

    video: np.ndarray  # uint8 (t, h, w, 3)
    codes: Tensor  # (t', c, h', w')
    first: int  # the group from which on the network has something to go by


@torch.no_grad()
def _batch(
    vae: MiniVAE,
    videos: list[np.ndarray],
    guesses: list[Guess] | None,
    config: VaeConfig,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of random groups (n, c, h', w'), of those before them, and the pixels (n, 12, h, w)."""
    count = config.batch_size // 4 if guesses else 0
    groups, befores = [], []
    for _ in range(config.batch_size - count):
        video = videos[rng.integers(len(videos))]
        # Mirrored and with colours exchanged: more looks than the world was rendered with.
        video = np.ascontiguousarray(video[:, :, :: int(rng.choice([-1, 1])), rng.permutation(3)])
        folded = to_groups(video)
        g = int(rng.integers(len(folded)))
        groups.append(folded[g])
        befores.append(folded[max(g - 1, 0)])
    truth, before = torch.stack(groups), torch.stack(befores)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    level, chance = torch.rand(2, len(truth), 1, 1, 1, generator=generator)
    level = config.noise * level * (chance > 0.3)
    z, z_before = vae.code_groups(truth), vae.code_groups(before)
    noise, noise_before = torch.randn(2, *z.shape, generator=generator)
    z, z_before = z + level * noise, z_before + level * noise_before
    if not guesses:
        return z, z_before, truth
    picked = [guesses[rng.integers(len(guesses))] for _ in range(count)]
    at = [int(rng.integers(guess.first, len(guess.codes))) for guess in picked]
    pairs = list(zip(picked, at, strict=True))
    return (
        torch.cat([z, torch.stack([guess.codes[g] for guess, g in pairs])]),
        torch.cat([z_before, torch.stack([guess.codes[g - 1] for guess, g in pairs])]),
        torch.cat([truth, torch.stack([to_groups(guess.video)[g] for guess, g in pairs])]),
    )
