"""CPU seconds of mini-incontext's network for one pass, of the paper's composite against conditions
whose keys and values are computed once, at equal tokens (random weights, batch 1).

    python benchmarks/incontext_speed.py [--steps 1 4 16] [--repeat 3]

panels       known cells noisy as in the paper, all 1,280 tokens at every step
one way      known cells clean and reading nothing but themselves, all computed at every step
kept         the same, what is known computed at the first step alone; x: panels / kept
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.backbones import Context
from dreamactor_core.mini.incontext import DRAWN_TIMES, InContextBackbone, create_incontext
from dreamactor_core.mini.incontext_network import PASS_FRAMES, known_tokens
from dreamactor_core.sampling import flow_sigmas, sample

GRID = (PASS_FRAMES, 16, 32)
WAYS = {"panels": ("noisy", False), "one way": ("one-way", False), "kept": ("one-way", True)}


@torch.no_grad()
def seconds_of(backbone: InContextBackbone, way: str, steps: int) -> float:
    """Of all steps of one pass, text encoded and latents decoded elsewhere."""
    network = backbone.transformer
    network.given, keeps = WAYS[way]
    network.kept = [] if keeps else None
    noise = torch.randn(1, backbone.geometry.latent_channels, *GRID)
    known = known_tokens(GRID, noise.device).view(1, 1, *GRID).float()
    latents = noise * known
    # As drivers are: silent during the lead-in, of which there are no tokens then.
    latents[:, :, : DRAWN_TIMES[1], :, GRID[2] // 2 :] = backbone.vae.silence()[:, None, None, None]
    context, text = Context(latents, known), backbone.encode_text(["a bird"], None)
    assert tuple(backbone.drawn_times(context)) == DRAWN_TIMES
    began = time.process_time()
    sample(
        lambda latents, sigma: backbone.velocity(latents, sigma, context, text),
        noise,
        flow_sigmas(steps, 3.0),
    )
    return time.process_time() - began


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 16], help="of a pass")
    parser.add_argument("--repeat", type=int, default=3, help="the shortest of so many counts (3)")
    arguments = parser.parse_args(argv)
    torch.manual_seed(0)
    backbone = create_incontext()
    print("steps" + "".join(f"{way:>10}" for way in WAYS) + "       x")
    for steps in arguments.steps:
        best = [
            min(seconds_of(backbone, way, steps) for _ in range(arguments.repeat)) for way in WAYS
        ]
        cells = "".join(f"{seconds:>10.3f}" for seconds in best)
        print(f"{steps:>5}{cells}{best[0] / best[-1]:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
