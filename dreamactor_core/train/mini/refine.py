"""Last stage of the autoencoder: its clean-up learns from the network's own codes as well.

What the transformer predicts is not a true code with noise on it: it is smoother where the network
is unsure. A quarter of a batch are such guesses beside the true pixels, the rest are true codes
as before, so that the floor does not rise. The encoder stays as it is, and with it every cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...animate import Flow, build_flow, encode_composite
from ...backbones import Backbone
from ...composite import build_composite, crop_target_latents
from ...media import to_frames
from ...media.replace import make_folder
from ...mini.vae import GROUP, MiniVAE
from ...puppets.triplet import triplet
from ...puppets.world import LEAD_IN, Clip
from ...sampling import SampleSettings, sample
from .vae import Guess, VaeConfig, train_clean

LEARNING_RATE = 4e-4


def train_refinement(
    backbone: Backbone,
    vae: Path,
    seeds: Iterable[int],
    folder: Path,
    steps: int,
    on_step: Callable[[int, float], None],
) -> None:
    """Go on with the autoencoder of a folder; see train_clean. backbone: with the LoRAs that it is
    to be used with. seeds: of puppets."""
    make_folder(folder)
    config = replace(VaeConfig(), steps=steps, learning_rate=LEARNING_RATE)
    guesses = guess_codes(backbone, seeds, config)
    train_clean(MiniVAE.from_pretrained(vae), config, folder, on_step, guesses)


@torch.inference_mode()
def guess_codes(backbone: Backbone, seeds: Iterable[int], config: VaeConfig) -> list[Guess]:
    """What the network makes of puppets in one sampling step, driven by another identity.

    Both ways round for each seed, by RGB with the LoRAs that the backbone carries.
    """
    guesses = []
    for seed in seeds:
        clips = triplet(seed, "train", config.num_frames, config.size)
        for target, driver in ((clips.truth, clips.driver), (clips.driver, clips.truth)):
            codes = _guess(backbone, target, driver, seed)
            guesses.append(Guess(target.frames, codes, LEAD_IN // GROUP + 1))
    return guesses


def _guess(backbone: Backbone, target: Clip, driver: Clip, seed: int) -> Tensor:
    geometry = backbone.geometry
    composite = build_composite(
        to_frames(target.frames[:1]),
        to_frames(driver.frames[LEAD_IN:]),
        lead_in=geometry.lead_frames(),
        temporal_stride=geometry.temporal_stride,
    )
    settings = SampleSettings(num_inference_steps=1, seed=seed)
    encoded = encode_composite(backbone, composite)
    flow: Flow = build_flow(backbone, encoded, target.caption, settings)
    latents = sample(*flow, sampler=settings.sampler)
    return crop_target_latents(latents)[0].transpose(0, 1).clone()
